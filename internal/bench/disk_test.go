package bench

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkDisk is the physical limit: how often a second the disk can be made
// to keep 4 KiB more, one after the other.
func BenchmarkDisk(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	const each = 5000
	n := 0
	for b.Loop() {
		for range each {
			if _, err := f.Write(page); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		n += each
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "fsyncs/s")
}
