package publish

import "github.com/IBM/sarama"

// class is what an answer of a broker means for the batch that it answers.
type class uint8

const (
	// delivered: the batch is in the log, written by this attempt or an earlier one.
	delivered class = iota
	// retryRefresh: the broker is not, or may no longer be, the leader. Ask who is, then send the same batch again.
	retryRefresh
	// retry: the leader could not do it now. Send the same batch again.
	retry
	// denied: nothing works until somebody changes the cluster (an ACL, a topic's configuration). Send again, and say so.
	denied
	// tooLarge: the batch, or its only record, is over a limit of the topic.
	tooLarge
	// invalid: the broker looked into the batch and refuses at least one record.
	invalid
	// lostState: the broker's memory of this producer contradicts ours. Going on could lose or repeat records.
	lostState
)

// meaning is the row of the table below for one error code.
type meaning struct {
	// name is the metric label.
	name  string
	class class
	// ambiguous: the batch may be in the log although the answer is an error.
	ambiguous bool
}

// meanings holds the codes that brokers answer produce requests with. Observed on Apache Kafka 4.3.1 under crashes, pauses and rolling
// restarts: 6, 7, 19 and 45; a resend of an appended batch is answered with 0 and the original offset. The others are of the protocol.
var meanings = map[sarama.KError]meaning{
	sarama.ErrNoError:                 {"none", delivered, false},
	sarama.ErrDuplicateSequenceNumber: {"duplicate_sequence", delivered, false},

	sarama.ErrNotLeaderForPartition:   {"not_leader", retryRefresh, false},
	sarama.ErrUnknownTopicOrPartition: {"unknown_topic_or_partition", retryRefresh, false},
	sarama.ErrLeaderNotAvailable:      {"leader_not_available", retryRefresh, false},
	sarama.ErrReplicaNotAvailable:     {"replica_not_available", retryRefresh, false},
	sarama.ErrFencedLeaderEpoch:       {"fenced_leader_epoch", retryRefresh, false},
	sarama.ErrUnknownLeaderEpoch:      {"unknown_leader_epoch", retryRefresh, false},
	sarama.ErrBrokerNotAvailable:      {"broker_not_available", retryRefresh, false},
	sarama.ErrKafkaStorageError:       {"storage_error", retryRefresh, true},
	sarama.ErrNetworkException:        {"network_exception", retryRefresh, true},
	sarama.ErrUnknown:                 {"unknown_server_error", retryRefresh, true},

	sarama.ErrRequestTimedOut:              {"request_timed_out", retry, true},
	sarama.ErrNotEnoughReplicas:            {"not_enough_replicas", retry, false},
	sarama.ErrNotEnoughReplicasAfterAppend: {"not_enough_replicas_after_append", retry, true},
	sarama.ErrInvalidMessage:               {"corrupt_message", retry, false}, // damaged on the way: the checksum was right when it left

	sarama.ErrTopicAuthorizationFailed:           {"topic_authorization_failed", denied, false},
	sarama.ErrClusterAuthorizationFailed:         {"cluster_authorization_failed", denied, false},
	sarama.ErrSASLAuthenticationFailed:           {"sasl_authentication_failed", denied, false},
	sarama.ErrInvalidTopic:                       {"invalid_topic", denied, false},
	sarama.ErrInvalidRequiredAcks:                {"invalid_required_acks", denied, false},
	sarama.ErrPolicyViolation:                    {"policy_violation", denied, false},
	sarama.ErrUnsupportedForMessageFormat:        {"unsupported_for_message_format", denied, false},
	sarama.ErrUnsupportedVersion:                 {"unsupported_version", denied, false},
	sarama.ErrUnsupportedCompressionType:         {"unsupported_compression_type", denied, false},
	sarama.ErrMessageSizeTooLarge:                {"message_too_large", tooLarge, false},
	sarama.ErrMessageSetSizeTooLarge:             {"record_list_too_large", tooLarge, false},
	sarama.ErrInvalidTimestamp:                   {"invalid_timestamp", invalid, false},
	sarama.ErrInvalidRecord:                      {"invalid_record", invalid, false},
	sarama.ErrOutOfOrderSequenceNumber:           {"out_of_order_sequence", lostState, true},
	sarama.ErrUnknownProducerID:                  {"unknown_producer_id", lostState, true},
	sarama.ErrInvalidProducerEpoch:               {"invalid_producer_epoch", lostState, true},
	sarama.ErrInvalidProducerIDMapping:           {"invalid_producer_id_mapping", lostState, true},
	sarama.ErrTransactionalIDAuthorizationFailed: {"transactional_id_authorization_failed", denied, false},
}

// transport stands for all ways in which a request ends without an answer for the partition: connection loss, time-out, bytes that do not
// decode. The request may have been carried out.
var transport = meaning{"transport", retryRefresh, true}

// meaningOf decides what an error code means. A code that the table does not have is tried again for ever, visibly.
func meaningOf(code sarama.KError) meaning {
	if m, ok := meanings[code]; ok {
		return m
	}
	return meaning{"other", denied, true}
}
