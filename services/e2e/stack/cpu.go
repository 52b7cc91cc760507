package stack

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc: USER_HZ, 100 a second on every Linux that Go supports (proc(5)).
const clockTick = 10 * time.Millisecond

// CPUTime returns the processor time that a process has used so far, of all its threads. It reads utime and stime, fields 14 and 15 of /proc/PID/stat. The command's name, field 2, may hold spaces.
func CPUTime(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	_, rest, found := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("read CPU time: %s is not as expected", path)
	}
	var total time.Duration
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time in %s: %w", path, err)
		}
		total += time.Duration(ticks) * clockTick
	}
	return total, nil
}
