package load

import (
	"bytes"
	"os"
	"strconv"
)

// machineTicks are how many clock ticks the machine's cores were busy, and how many there were (proc_stat(5)).
func machineTicks() (busy, all float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0
	}
	for i, f := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseFloat(string(f), 64)
		if err != nil {
			return 0, 0
		}
		if all += n; i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, all
}
