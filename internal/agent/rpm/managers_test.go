package rpm_test

import (
	"strings"
	"testing"

	"upkeep/internal/agent/apt"
	"upkeep/internal/agent/dnf"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/zypper"
	"upkeep/internal/fault"
)

func TestHostWithNone(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := host.New(host.Config{Dir: t.TempDir()}, apt.New, dnf.New, zypper.New)
	if !fault.Is(err, fault.KindInvalid) {
		t.Fatal(err)
	}
	for _, tool := range []string{"apt-get", "dnf", "zypper"} {
		if !strings.Contains(err.Error(), `no program "`+tool+`"`) {
			t.Errorf("%q is not named: %v", tool, err)
		}
	}
}
