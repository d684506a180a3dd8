package cli

import "github.com/spf13/cobra"

// topics are pages of help that belong to no command.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesHelp},
		{Use: "connection", Short: "Which server, whose token, how long", Long: connectionHelp},
		{Use: "files", Short: "What apply reads", Long: filesHelp},
	}
}

const exitCodesHelp = `Exit codes:

    0  all is well
    1  failed in a way that has no code of its own, such as a mistake of the server
    2  the command line or the configuration is wrong
    3  there is no such thing, or the token may not know of it
    4  denied: the token is missing, unknown, or may not do this
    5  conflict: the present state forbids it; look again
    6  the server can't be reached, or can't answer now; try again later
    7  what was said is wrong: a field and the reason are named
   10  the run that was watched failed
   11  the run that was watched was aborted
   12  simulate: the run would not come to success
   13  the run that was watched is halted, until a person says resume or abort
  124  the time that --timeout gave is over
  130  interrupted; a run that was watched goes on`

const connectionHelp = `Which server to ask, with which token, is said by flags, else by the environment,
else by a file:

  flag          environment        key in the file   what
  --server      UPKEEP_SERVER      server            https://HOST[:PORT]
  --token-file  UPKEEP_TOKEN_FILE  tokenFile         a file that holds the token
  --token       UPKEEP_TOKEN       token             the token itself
  --ca          UPKEEP_CA          ca                PEM certificates to trust in place
                                                     of the system's
  --project     UPKEEP_PROJECT     project           where names are looked up; the
                                                     token's own project if not said
  --config      UPKEEP_CONFIG                        the file; config.yaml in the folder
                                                     upkeep of $XDG_CONFIG_HOME, or of
                                                     ~/.config

A token on the command line can be read by everybody on the machine (ps shows
it) and stays in the shell's history: use a file. A token from the configuration
file is sent to the file's own server only.

Every command knows as well:

  -o, --output  table, wide, json or yaml; csv for "get compliance". JSON and YAML
                are the API's own documents.
  --timeout     give up after this long, such as 30s; 0 is never. One minute if not
                said; never for what watches. Exit code 124.
  NO_COLOR      in the environment: no colours. There are none in a pipe either.

Connections that are lost are tried again for some seconds. What is written is
sent with a key under which the server does it once, however often it arrives.`

const filesHelp = `"upkeep apply -f FILE" reads YAML documents, separated by lines of three dashes.
Keys that are not listed here are refused.

  kind: Server
  name: web-1              # 1 to 63 letters, digits, dots, dashes, underscores
  project: default         # every kind has it; the token's own if left out
  group: web               # its redundancy group
  labels: {site: fra1}     # free to use
  image: debian-12         # what it was made from: CHANNEL:VERSION, or CHANNEL
  management: managed      # managed or unmanaged; as it is if left out
  updatePolicy: Tuesdays   # which a managed one is given a schedule from
  ---
  kind: Group
  name: web                # as servers name it
  maxUnavailable: 1        # members down at once; 1 if left out
  canaries: [web-1]        # who is updated before the others
  soak: 1d                 # how long they must have run well before the others
  stopAfter: 2             # the others stop after so many failed updates
  weekly: {dayOfTheWeek: Saturday, time: "02:00", zone: Europe/Berlin}
  duration: 4h             # when its nodes may restart themselves (FleetLock)
  ---
  kind: Policy             # what schedules are made from
  name: Tuesdays
  description: Free text
  default: true            # managed servers without a schedule get one from it
  enabled: true            # true if left out
  weekly: {dayOfTheWeek: Tuesday, time: "22:00", zone: Europe/Berlin}
                           # or rrule, as below; or in place of both
  # spread: true           # each server at its own time of the weekend,
  # zone: Europe/Berlin    # in this zone
  duration: 2h
  missed: late             # a start that was missed: late, skip or ask
  policy: {scope: security}
  ---
  kind: Schedule
  server: web-1
  name: weekend            # unique on its server
  enabled: true            # true if left out; false aborts the run that is open
  rrule: DTSTART;TZID=Europe/Berlin:20260103T023000 RRULE:FREQ=WEEKLY;BYDAY=SA
                           # or weekly, as above
  duration: 2h             # from 1m to 24h of elapsed time
  missed: late             # a start that was missed: late, skip or ask
  updatePolicy: Tuesdays   # takes from it what is left out here
  allowOverlap: true       # may be open while another of the server is
  policy:                  # everything in it may be left out
    scope: all             # all or security
    hold: [postgresql-15, "linux-image-*"]  # what is never touched
    reboot: own-window     # if-required, never, always or own-window
    rebootWindow: {rrule: …, duration: 1h}  # with own-window; or weekly
    batch: 25              # packages in one installation step, up to 500
    prepare: 2h            # fetch lists and packages so long before the window
    noticeLead: 72h        # must have been announced so long before
    dryRun: true           # say what would be installed, change nothing
    within: 14d            # be installed so soon after the release
    backup: snapshot       # the server's own commands, by their names: a copy
    before: [drain]        # before the first package,
    after: [undrain]       # after the last one,
    health: [healthy]      # and whether all is well after that
    expect: {reboot: 3m}   # how long actions take, until history says better
  ---
  kind: Schedule
  service: api-extension   # in place of server: a runbook is carried out
  name: weekly
  runbook: api-extension-restart
  params: {port: "8090"}   # values of its parameters
  weekly: {dayOfTheWeek: Wednesday, time: "18:00", zone: Europe/Berlin}
  duration: 3h             # what does not fit goes on in the next window
  policy: {noticeLead: 72h}  # of a policy it may say this, and no more
  ---
  kind: Service
  name: api-extension      # no server has this name
  labels: {site: fra1}
  quorum: 2                # members that must always stay up
  claims: [database/keystone]  # what every run on it holds besides its servers
  with: {backend: api_back}  # what runbooks may ask of it, as {{service.backend}}
  members:                 # in the order in which they are maintained
    - name: ctl1
      server: ctl1         # on which it runs; for commands on its host
      born: 2026-01-03T00:00:00Z  # if known: the oldest goes first
      labels: {role: control}  # runbooks choose by them
      with: {url: "http://ctl1:8090"}  # {{member.url}}
  manager: mgr1            # the server on which things are run that are about all of it
  proxies:
    - {name: lb1, with: {socket: "tcp:lb1:9999"}}  # {{proxy.socket}}
  probe:                   # what is asked all the while a run is open on it
    rate: 10               # requests per second, of all endpoints together
    slow: 1s               # an answer that takes longer is slow; none is if left out
    timeout: 5s            # and one that takes longer is none; 5s if left out
    endpoints:
      - {name: list, url: "https://api.example.net/v3/projects"}  # header: {}, ca: PEM
  ---
  kind: Runbook            # docs/runbooks.md tells it, runbooks/ has some
  name: api-extension-restart
  title: Restart the API extension
  description: Free text
  params:                  # values that a run is given: {{param.port}}
    - {name: port, type: integer, default: "8090"}
  targets: {labels: {role: control}}  # which members; all if left out
  order: listed            # oldest, listed or reversed
  claims: [loadbalancer/internal]  # what a run of it holds; region: the service's
  maxUnavailable: 1        # members out at once; 1 if left out
  batches: [1]             # sizes of the first batch, the second, …; the last one repeats
  pause: 10m               # between batches
  budget: 5m               # how long one member may be out; needed with drain
  errorBudget:             # what it may cost users: used up, it halts before the next member
    unanswered: "0.1%"     # of the requests, unanswered or failed; any if left out
    slow: "5%"             # any if left out
    over: 2m               # of the last so long; of the whole run if left out
    optional: false        # a service without a probe is refused if not true
  prove: []                # what must hold, fresh, before each member
  before: []               # once, before the first member
  member:
    drain: []              # takes a member out
    do: []                 # what is to be done to it
    await: []              # proves that it is ready
    ready: []              # puts it back
  after: []                # once, after the last member
  ---
  kind: Train              # docs/rollouts.md tells it, runbooks/trains/ has one
  name: cloud
  environments:            # parents first
    - {name: dev, soak: 1d}
    - {name: prod, after: dev, region: true, soak: 3d, approvals: 1}
  phases:                  # one after the other, in each environment
    - {name: api, service: "api-{{environment.name}}", runbook: roll, params: {image: "{{digest.api}}"}}
  gates: []                # what must pass: before, after, in the soak
  catalogue: {}            # which release may follow which; any if left out
  ---
  kind: Release
  train: cloud
  version: R4
  digests: {api: "sha256:…"}
  issues: []               # what a person must acknowledge, and before which environment
  ---
  kind: Freeze
  start: 2026-12-20T00:00:00+01:00
  end: 2027-01-04T00:00:00+01:00
  reason: Holiday season   # people read it
  ---
  kind: Image
  channel: debian-12       # created with its first image
  version: 2026.11         # new in its channel and architecture
  arch: amd64              # amd64 if left out
  active: true             # new servers of its channel are made from it
  name: Debian 12          # what people call it
  distro: debian           # the distribution
  osVersion: "12"          # and its version
  diskFormat: qcow2        # qcow2 if left out
  minDiskGB: 10            # the smallest disk that it fits on
  minRAMMB: 512            # the least memory that it needs
  checksum: "sha256:…"     # or sha512:
  source: https://…        # where it can be fetched
  notes: Kernel 6.1.0-30   # what is new in it

All documents are checked before the first is sent. Images and policies are sent
first, then servers, then groups, services and runbooks; who manages a server is said last. Durations
may begin with days, such as 14d. docs/policies.md tells what a policy does. What
an image is, never changes: what is new needs a new version. A freeze has no
name: one with the same project, start, end and reason is the same.`
