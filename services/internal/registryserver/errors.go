package registryserver

import (
	"fmt"
	"net/http"
)

// apiError is an answer other than 200, with the error codes that Confluent documents.
type apiError struct {
	status  int
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Message) }

func subjectNotFound(subject string) *apiError {
	return &apiError{http.StatusNotFound, 40401, fmt.Sprintf("Subject '%s' not found.", subject)}
}

func versionNotFound(version int) *apiError {
	return &apiError{http.StatusNotFound, 40402, fmt.Sprintf("Version %d not found.", version)}
}

func schemaNotFound() *apiError { return &apiError{http.StatusNotFound, 40403, "Schema not found"} }

func softDeleted(subject string) *apiError {
	return &apiError{http.StatusNotFound, 40404, fmt.Sprintf("Subject '%s' was soft deleted. Set permanent=true to delete permanently", subject)}
}

func notSoftDeleted(subject string) *apiError {
	return &apiError{http.StatusNotFound, 40405, fmt.Sprintf("Subject '%s' was not deleted first before being permanently deleted", subject)}
}

func versionSoftDeleted(subject string, version int) *apiError {
	return &apiError{http.StatusNotFound, 40406, fmt.Sprintf("Subject '%s' Version %d was soft deleted. Set permanent=true to delete permanently", subject, version)}
}

func versionNotSoftDeleted(subject string, version int) *apiError {
	return &apiError{http.StatusNotFound, 40407, fmt.Sprintf("Subject '%s' Version %d was not deleted first before being permanently deleted", subject, version)}
}

func badBody(format string, args ...any) *apiError {
	return &apiError{http.StatusUnprocessableEntity, 422, fmt.Sprintf(format, args...)}
}

func invalidSchema(reason string) *apiError {
	return &apiError{http.StatusUnprocessableEntity, 42201, "Invalid AVRO schema: " + reason}
}

func invalidVersion(text string) *apiError {
	return &apiError{http.StatusUnprocessableEntity, 42202, fmt.Sprintf("The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text)}
}

func invalidLevel() *apiError {
	return &apiError{http.StatusUnprocessableEntity, 42203, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"}
}

func invalidMode() *apiError {
	return &apiError{http.StatusUnprocessableEntity, 42204, "Invalid mode. Valid values are READWRITE and READONLY"}
}

func subjectReadOnly(subject string) *apiError {
	return &apiError{http.StatusUnprocessableEntity, 42205, fmt.Sprintf("Subject %s is in read-only mode", subject)}
}

func incompatible(level Level, messages []string) *apiError {
	return &apiError{http.StatusConflict, 409, fmt.Sprintf("Schema being registered is incompatible with an earlier schema; compatibility level %s: %v", level, messages)}
}
