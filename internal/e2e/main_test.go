//go:build linux && e2e

package e2e

import (
	"os"
	"testing"

	"upkeep/internal/store/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
