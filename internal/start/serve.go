// Package start is the wiring of processes: what "upkeep serve", "upkeep
// agent" and "upkeep demo" are made of.
package start

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/internal/server"
)

// Serve is the command that runs a control plane.
func Serve(version string) *cobra.Command {
	cfg := server.Config{Version: version}
	var logs logFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the control plane",
		Long: `Run the control plane: the engine, the API, the portal and the agents' door, on one address.

Everything it needs is made at the first start, in the data folder: the embedded database, a key that seals secrets, the authority that agents and clients trust (ca.pem), and an operator's token (operator.token).

Several servers may share one PostgreSQL database. Give each the same secret.key.`,
		Example: `  upkeep serve --data /var/lib/upkeep --listen 0.0.0.0:8443
  upkeep serve --data /var/lib/upkeep --listen :8443 --database postgres://upkeep@db/upkeep`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Log, err = logs.logger(cmd.ErrOrStderr()); err != nil {
				return err
			}
			s, err := server.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			welcome(cmd.OutOrStdout(), s)
			return s.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Data, "data", "", "folder of database, keys and tokens; made if missing (required)")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8443", "HOST:PORT to listen on")
	f.StringVar(&cfg.Database, "database", "", "URL of a PostgreSQL database; without it, SQLite in the data folder")
	f.StringSliceVar(&cfg.Hosts, "host", nil, "further names and addresses that clients and agents use for this server")
	f.StringVar(&cfg.Zone, "zone", hostZone(), "time zone of the weekend in which managed servers are updated by default")
	f.StringSliceVar(&cfg.MayCall, "may-call", nil, "prefixes of the addresses that runbooks, proxies and probes may have it call, such as 10.0.0.0/8; all but link-local ones if left out")
	logs.add(cmd)
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

// hostZone is the zone that this machine is set to, UTC if that can't be told.
func hostZone() string {
	if name, ok := os.LookupEnv("TZ"); ok && name != "" {
		return strings.TrimPrefix(name, ":")
	}
	link, err := os.Readlink("/etc/localtime")
	if _, name, ok := strings.Cut(link, "zoneinfo/"); err == nil && ok {
		return name
	}
	return "UTC"
}

// welcome says where everything is, in lines that can be pasted.
func welcome(w io.Writer, s *server.Server) {
	token, made := s.TokenFile()
	if made {
		fmt.Fprintf(w, "operator's token written to %s\n", token)
	}
	fmt.Fprintf(w, "listening on https://%s\n\nTo use it from here:\n", s.Address())
	fmt.Fprintf(w, "  export UPKEEP_SERVER=https://%s UPKEEP_TOKEN_FILE=%s UPKEEP_CA=%s\n  upkeep get servers\n", s.Address(), absolute(token), absolute(s.CAFile()))
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// logFlags say how a process logs.
type logFlags struct {
	level  string
	format string
}

func (l *logFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().StringVar(&l.format, "log-format", "text", "text or json")
}

func (l *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is not debug, info, warn or error", l.level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is not text or json", l.format)
}
