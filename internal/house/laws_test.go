package house

import "slices"

// A station is a package with what lies below it, by its path in this module.
// These are all there are: a package outside them fails, and so does a station
// without a package. ARCHITECTURE.md says what each is for.
var stations = slices.Concat(core, doors, hands, []string{
	"client",
	"cmd/upkeep",
	"internal/agent",
	"internal/bench",
	"internal/cli",
	"internal/demo",
	"internal/desk",
	"internal/e2e",
	"internal/engine",
	"internal/house",
	"internal/hub",
	"internal/identity",
	"internal/lab",
	"internal/limit",
	"internal/reach",
	"internal/server",
	"internal/sim",
	"internal/start",
	"internal/store",
	"internal/wire",
	"runbooks",
})

// The core decides: no I/O, no clock, no random source.
var core = []string{
	"internal/action",
	"internal/chart",
	"internal/evidence",
	"internal/fault",
	"internal/fleet",
	"internal/history",
	"internal/notice",
	"internal/plan",
	"internal/rollout",
	"internal/run",
	"internal/runbook",
	"internal/window",
}

// Doors translate what callers say. Each speaks a language of its own.
var doors = []string{
	"internal/api",
	"internal/compat/fleetlock",
	"internal/compat/ionos",
	"internal/compat/stackit",
	"internal/compat/statuspage",
	"internal/portal",
}

// Hands carry out in the world what was decided.
var hands = []string{
	"internal/balancer",
	"internal/channel",
	"internal/cloud",
	"internal/command",
	"internal/kube",
	"internal/probe",
}

// planned are the stations of the design that nobody has built yet. The laws
// know them already. Who builds one takes it off this list.
var planned = []string{
	"internal/channel",
	"internal/cloud",
	"internal/command",
	"internal/compat/ionos",
	"internal/compat/statuspage",
	"internal/kube",
	"internal/notice",
}

// law says what stations may import. What a station may import of itself, and
// what tests import, is nobody's business but as testOnly says.
type law struct {
	bind  []string // the stations that it binds
	never []string // stations that they never import, themselves apart
	only  []string // nil: any; else the stations that they may import
	why   string   // and what to do instead
}

var laws = []law{
	{
		bind: core, only: core,
		why: "the core takes values and returns values, so that every decision can be tested, simulated and explained, and depends on nothing that keeps it, such as store; take what the world has to say as an argument",
	},
	{
		bind: []string{"internal/plan"}, never: []string{"internal/run"},
		why: "a plan is made from what is observed, not from how its execution goes; what both need belongs to fleet or action",
	},
	{
		bind: []string{"internal/store"}, only: core,
		why: "the store keeps the core's values and knows nobody who uses it; declare in store what it is to keep",
	},
	{
		bind: doors, never: slices.Concat([]string{"internal/store", "internal/engine"}, doors),
		why: "a door only translates, and rules that it found behind desk's back would not hold at the other doors; ask desk",
	},
	{
		bind: hands, never: slices.Concat(hands, []string{"internal/store", "internal/engine", "internal/desk"}),
		why: "hands are exchanged one by one and carry out what they are told; what two share belongs to action, what they should know to the step's parameters",
	},
	{
		bind: []string{"internal/engine"}, never: []string{"internal/desk"},
		why: "what time does must not wait for what callers ask; they meet in the store and by nudges",
	},
	{
		bind: []string{"internal/desk"}, never: []string{"internal/engine"},
		why: "what callers ask is written down and acted on by the engine's next tick, which also comes when the nudge is lost",
	},
	{
		bind: []string{"internal/agent"}, only: []string{"internal/action", "internal/fault", "internal/wire"},
		why: "the agent runs as root on every host: it stays small, and obeys words that any version of the server can say",
	},
	{
		bind: []string{"internal/wire"}, only: []string{"internal/action", "internal/fault"},
		why: "the words between server and host know neither end",
	},
	{
		bind: []string{"internal/cli"}, only: []string{"client"},
		why: "a command does what any client of the API can, and never opens the database; what it misses the API misses too",
	},
	{
		bind: []string{"client"}, only: []string{},
		why: "outsiders import client: whatever it imports becomes theirs",
	},
	{
		bind: except("internal/start", "internal/sim", "internal/e2e"), never: []string{"internal/server"},
		why: "server is the only place that knows every part, so nothing but what starts it may depend on it; take the part that you need as an argument",
	},
	{
		bind: []string{"internal/demo"}, only: []string{},
		why: "the demo's service is what is maintained: it knows nothing of who does it, and is told by the doors that real ones have",
	},
	{
		bind: except("cmd/upkeep"), never: []string{"internal/start"},
		why: "start is how processes begin; what others need of it belongs further down",
	},
}

// testOnly are packages that only tests may import, and these packages
// themselves. They may panic, listen and run programs as they like.
var testOnly = []string{
	"internal/agent/agenttest",
	"internal/lab",
	"internal/store/postgrestest",
	"internal/store/storetest",
}

// pure is what the core may import of other people's, all of it without I/O.
var pure = []string{
	"bytes", "cmp", "crypto/sha256", "encoding/base64", "encoding/hex", "errors",
	"fmt", "hash/fnv", "iter", "maps", "math", "math/bits", "net/netip", "net/url",
	"path", "reflect", "regexp", "slices", "sort", "strconv", "strings", "sync", "time",
	"unicode", "unicode/utf8",
	"time/tzdata",                    // the zones' rules, compiled in
	"github.com/teambition/rrule-go", // expands recurrences
}

// reserved are packages that few may import.
var reserved = []struct {
	paths []string // and what lies below
	to    []string // stations
	why   string
}{
	{
		paths: []string{"database/sql", "github.com/jackc/pgx/v5", "modernc.org/sqlite"},
		to:    []string{"internal/store"},
		why:   "only the store speaks SQL; add a method to the interface of the aggregate",
	},
	{
		paths: []string{"os/exec"},
		to:    []string{"internal/agent", "internal/command", "internal/demo", "internal/lab", "internal/api/gen"},
		why:   "the control plane starts no programs on its own machine; what is run is run by an agent, or by the hand for commands; the demo's service plays what others run",
	},
}

// except is all stations but some.
func except(some ...string) []string {
	return slices.DeleteFunc(slices.Clone(stations), func(s string) bool { return slices.Contains(some, s) })
}
