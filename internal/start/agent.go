package start

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"upkeep/internal/agent"
	"upkeep/internal/agent/apt"
	"upkeep/internal/agent/dnf"
	"upkeep/internal/agent/host"
	"upkeep/internal/agent/zypper"
	"upkeep/internal/fault"
)

// agentFlags are what "upkeep agent" is told.
type agentFlags struct {
	server    string
	data      string
	token     string
	tokenFile string
	ca        string
	pin       string
	allow     string
}

// Agent is the command that runs on a server.
func Agent(version string) *cobra.Command {
	var f agentFlags
	var logs logFlags
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent of this server",
		Long: `Run the agent of this server. It dials the control plane and is dialled by nobody.

The first start enrols it with the one-time token that "upkeep enrol NAME" prints; later starts need none. It makes its own key, which never leaves the data folder, and renews its certificate by itself.

What its owner does not allow in ` + agent.DefaultAllowFile + `, it refuses.`,
		Example: `  upkeep agent --server https://upkeep.example:8443 --ca ca.pem --token-file token`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), version, log)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "", "URL of the control plane; needed to enrol, later known")
	flags.StringVar(&f.data, "data", "/var/lib/upkeep-agent", "folder of key, certificate and journal")
	flags.StringVar(&f.token, "token", "", "one-time token to enrol with; others can see it among this machine's processes, so better:")
	flags.StringVar(&f.tokenFile, "token-file", "", "file of the one-time token")
	flags.StringVar(&f.ca, "ca", "", "file of the authority's certificate to trust when enrolling (the control plane's ca.pem)")
	flags.StringVar(&f.pin, "ca-pin", "", "or its fingerprint, sha256:HEX")
	flags.StringVar(&f.allow, "allow-file", agent.DefaultAllowFile, "what this server's owner allows")
	logs.add(cmd)
	return cmd
}

// managers are the package managers that an agent knows, in the order in which
// it looks for them.
var managers = []host.Make{apt.New, dnf.New, zypper.New}

// retryEnrol is the pause between attempts while the control plane is down.
const retryEnrol = 2 * time.Second

// maxProcs is how many threads of an agent run at one time: it shares its host
// with what the host is for, and Go keeps memory for each (8 MiB on 128 cores).
const maxProcs = 2

// gcPercent keeps the heap small while the host is looked at: 2 MiB less with
// two thousand updates pending. It costs milliseconds, and looks are minutes apart.
const gcPercent = 25

// staySmall sets what the operator has not set by Go's own variables.
func staySmall() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(maxProcs, runtime.GOMAXPROCS(0)))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

func (f agentFlags) run(ctx context.Context, version string, log *slog.Logger) error {
	staySmall()
	allow, err := agent.LoadAllow(f.allow)
	if err != nil {
		return err
	}
	who, err := agent.LoadIdentity(f.data)
	if fault.Is(err, fault.KindNotFound) {
		who, err = f.enrol(ctx, version, log)
	}
	if err != nil {
		return err
	}
	door, err := agent.Dial(f.data, f.server, agent.WithLog(log))
	if err != nil {
		return err
	}
	defer door.Close()
	hands, err := host.New(host.Config{
		Dir: f.data, RebootCommand: allow.RebootCommand, Owned: allow.Owned, AllowFile: f.allow,
		DryRun: allow.DryRun, Holds: allow.Holds, Log: log,
	}, managers...)
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Config{Dir: f.data, Target: who.Target, After: who.After, Hands: hands, Door: door, Allow: allow, Version: version, Log: log})
	if err != nil {
		return err
	}
	log.Info("agent started", "server", who.Name, "target", who.Target)
	return a.Run(ctx)
}

// enrol turns the one-time token into an identity, and waits for a control
// plane that can't be reached.
func (f agentFlags) enrol(ctx context.Context, version string, log *slog.Logger) (agent.Identity, error) {
	var none agent.Identity
	token := f.token
	if f.tokenFile != "" {
		text, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return none, fault.Invalid("--token-file", "%v", err)
		}
		token = string(text)
	}
	switch {
	case strings.TrimSpace(token) == "":
		return none, fault.Invalid("--token-file", "this server is not enrolled yet: give the one-time token that \"upkeep enrol NAME\" prints")
	case f.server == "":
		return none, fault.Invalid("--server", "this server is not enrolled yet: give the control plane's URL")
	}
	trust := agent.Trust{Pin: f.pin}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return none, fault.Invalid("--ca", "%v", err)
		}
		trust.CA = pem
	}
	for {
		who, err := agent.Enrol(ctx, f.data, f.server, strings.TrimSpace(token), trust, version)
		if err == nil {
			log.Info("enrolled", "server", who.Name, "target", who.Target)
		}
		if !fault.Is(err, fault.KindUnavailable) {
			return who, err
		}
		log.Warn("can't reach the control plane, trying again", "err", err)
		select {
		case <-ctx.Done():
			return none, fmt.Errorf("not enrolled: %w", ctx.Err())
		case <-time.After(retryEnrol):
		}
	}
}
