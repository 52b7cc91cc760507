// Command hudictl looks into Hudi tables and does by hand what their writer does: whatever the version of a table, its timeline, log files
// and file groups; of tables that package hudi reads, rows and differences; of those that it writes, the table services.
//
// # Looking
//
// These change nothing, and can be run beside any writer.
//
//	hudictl timeline lake/events --archived
//	hudictl show instant lake/events 20261123045630340
//	hudictl show log lake/events 'day=2026-11-22/.00000000-3140-4f0b-bd7d-8d29e6d192df-0_20261123045630340.log.1_0-1-1' --records
//	hudictl slices lake/events day=2026-11-22 --history
//	hudictl slices lake/events --as-of 20261123045630340 --output json
//	hudictl verify lake/events --strict
//	hudictl verify lake/sparks --buckets 8 --bucket-field session_id --output json
//	hudictl diff lake/events 20261123045611705 20261123045630340 --rows
//	hudictl diff lake/events 20261123045611705 20261123045630340 --file-group day=2026-11-22/00000003-5a1e-4b0c-9a55-0d2f6f4f5a10-0
//	hudictl rows lake/events --columns session_id,price --partition day=2026-11-22/ --as-of 20261123045630340
//	hudictl rows lake/events --read-optimized --output csv
//	hudictl rows lake/events --since 20261123045611705 --until 20261123045630340
//	hudictl savepoint list lake/events
//
// # Changing
//
// These take the table over: its writer, if one is running, is fenced and has to acquire it again. With --dry-run they work on a picture of
// the table in memory, change nothing, and say what they would do. A restore, and the rollback of a commit, take the table's offsets back to
// those of the commit that is the last one then: whoever feeds the table reads its streams again from there.
//
//	hudictl create lake/events --config table.json --schema events.avsc --table-version 9
//	hudictl create lake/events --database lake --name events --type mor --record-key session_id,event_id --partition-by day --hive-style
//	    --ordering event_time --buckets 8 --bucket-field session_id --schema events.avsc --dry-run
//	hudictl compact lake/events --min-logs 4 --max-bytes 1000000000
//	hudictl cluster lake/log --sort-by session_id,event_time --target-file-bytes 120000000 --dry-run
//	hudictl clean lake/events --policy hours --retain 24 --dry-run
//	hudictl archive lake/events --keep-min 20 --keep-max 30
//	hudictl savepoint create lake/events 20261123045630340 --user me --comment 'before the migration'
//	hudictl savepoint delete lake/events 20261123045630340
//	hudictl restore lake/events 20261123045630340 --dry-run
//	hudictl rollback lake/events --dry-run
//	hudictl rollback lake/events 20261123045630340
//	hudictl adopt lake/sparks --buckets 8 --bucket-field session_id,event_id
//
// # Output
//
// Every command writes text for people or, with --output json, JSON for programs: one value, but of rows, show log and diff --rows a value
// a line. JSON fields are stable; new ones may come. The codes of verify's findings are listed with package inspect, as are the fields of
// its report:
//
//	{"format":1,"table":"lake.events","version":"6","type":"MERGE_ON_READ","instant":"20261123045630340","partitions":1,"files":2,"logs":1,
//	 "rows":63,"bytes":3508470,"errors":1,"warnings":0,
//	 "findings":[{"code":"count-writes","severity":"error","key":"day=2026-11-22/...parquet","text":"62 rows, commit ... says 63"}],
//	 "not_checked":[]}
//
// # Exit status
//
//	0  done; verify found no error (with --strict: and no warning)
//	1  verify found errors
//	2  the command line is wrong, and nothing was done
//	3  it could not be done: no table, a table that is not supported, a store that does not answer
//
// # Stores
//
// PATH is a local folder. The library's other stores belong to the services that use them; a table of theirs is looked into by a copy of it.
package main
