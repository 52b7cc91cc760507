package meta_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// TestRequestedReplaceEncode: what Hudi wrote is written again with the same content, and reads the same.
func TestRequestedReplaceEncode(t *testing.T) {
	t.Parallel()
	overwrite := golden(t, "v9-mor-12.replacecommit.requested")
	data, err := meta.RequestedReplace{}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	marker := len(overwrite) - 16 // drawn at random by Java; at the end and behind the header
	if len(data) != len(overwrite) || !bytes.Equal(bytes.ReplaceAll(overwrite, overwrite[marker:], data[marker:]), data) {
		t.Errorf("an insert overwrite is requested by\n%q\nwant\n%q", data, overwrite)
	}
	plan, err := meta.ParseRequestedReplace(golden(t, "v9-txns.clustering.requested"))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = plan.Encode(); err != nil {
		t.Fatal(err)
	}
	again, err := meta.ParseRequestedReplace(data)
	if err != nil || !reflect.DeepEqual(plan, again) {
		t.Errorf("%+v became %+v, %v", plan, again, err)
	}
}
