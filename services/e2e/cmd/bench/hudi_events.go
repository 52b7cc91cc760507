package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
)

const (
	benchFields = `{"name":"session_id","type":["null","string"],"default":null},{"name":"event_id","type":["null","string"],"default":null},` +
		`{"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},` +
		`{"name":"day","type":["null","string"],"default":null},{"name":"event_type","type":["null","string"],"default":null},` +
		`{"name":"account_id","type":["null","string"],"default":null},{"name":"device_id","type":["null","string"],"default":null},` +
		`{"name":"device_model","type":["null","string"],"default":null},{"name":"title_id","type":["null","string"],"default":null},` +
		`{"name":"country","type":["null","string"],"default":null},{"name":"app_version","type":["null","string"],"default":null},` +
		`{"name":"position_ms","type":["null","long"],"default":null},{"name":"bitrate_kbps","type":["null","int"],"default":null},` +
		`{"name":"buffer_ms","type":["null","int"],"default":null},{"name":"playback_rate","type":["null","double"],"default":null},` +
		`{"name":"error_code","type":["null","string"],"default":null}`
	benchSchema    = `{"type":"record","name":"event","fields":[` + benchFields + `]}`
	benchPartition = "2026-11-22"
	perSession     = 7
)

// inventEvent makes up the event of a number, with a payload of about 230 bytes; its meta fields add about 190 in a log. The same number
// gives the same key; a later version has a later time, and so wins.
func inventEvent(number, version int) hudi.Record {
	rng := rand.New(rand.NewPCG(uint64(number/perSession), 1))
	session, account, device := hex(rng), hex(rng), hex(rng)
	model, country := rng.IntN(300), rng.IntN(40)
	rng = rand.New(rand.NewPCG(uint64(number), uint64(version)+2))
	event := fmt.Sprintf("%016x%016x", uint64(number)*0x9e3779b97f4a7c15, uint64(number))
	var b []byte
	text := func(s string) { b = append(binary.AppendVarint(append(b, 2), int64(len(s))), s...) }
	long := func(n int64) { b = binary.AppendVarint(append(b, 2), n) }
	text(session)
	text(event)
	long(int64(1_795_000_000_000_000 + number*100 + version))
	text(benchPartition)
	text([]string{"heartbeat", "pause", "seek", "start"}[rng.IntN(4)])
	text("k1." + account)
	text("k1." + device)
	text("model-" + strconv.Itoa(model))
	text("title-" + strconv.Itoa(rng.IntN(5000)))
	text("C" + strconv.Itoa(country))
	text("8.1." + strconv.Itoa(number%12))
	long(rng.Int64N(7_200_000))
	long(int64(800 * (1 + rng.IntN(8))))
	long(int64(rng.IntN(30_000)))
	b = append(b, 2, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f) // 1.0
	b = append(b, 0)
	return hudi.Record{Key: "session_id:" + session + ",event_id:" + event, Payload: b}
}

func hex(rng *rand.Rand) string { return fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64()) }

// inventGroups makes up events of so many numbers, grouped by bucket.
func inventGroups(buckets, from, to, version int) []hudi.Group {
	groups := make([]hudi.Group, buckets)
	for i := range groups {
		groups[i] = hudi.Group{Partition: benchPartition, Bucket: i}
	}
	for n := from; n < to; n++ {
		rec := inventEvent(n, version)
		session := rec.Key[len("session_id:"):][:32]
		g := &groups[keys.Bucket(buckets, session)]
		g.Records = append(g.Records, rec)
	}
	full := groups[:0]
	for _, g := range groups {
		if len(g.Records) > 0 {
			full = append(full, g)
		}
	}
	return full
}
