package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"upkeep/client"
)

// connection is what the flags say of the server.
type connection struct {
	server    string
	token     string
	tokenFile string
	ca        string
	project   string
	config    string
	timeout   time.Duration
}

// settings are those of one source: the flags, the environment or the file.
type settings struct {
	Server    string `yaml:"server"`
	Token     string `yaml:"token"`
	TokenFile string `yaml:"tokenFile"`
	CA        string `yaml:"ca"`
	Project   string `yaml:"project"`
}

// maxFile is the largest file of configuration or token, in bytes, that is read.
const maxFile = 1 << 20

func (a *app) flags(f *pflag.FlagSet) {
	f.StringVarP(&a.format, "output", "o", "table", "table, wide, json or yaml")
	f.StringVar(&a.conn.server, "server", "", "the server's address, https://HOST[:PORT]")
	f.StringVar(&a.conn.tokenFile, "token-file", "", "a file that holds the token")
	f.StringVar(&a.conn.token, "token", "", "the token itself; better use a file: everybody on the machine can read command lines")
	f.StringVar(&a.conn.ca, "ca", "", "a file of PEM certificates to trust in place of the system's")
	f.StringVar(&a.conn.project, "project", "", "where names are looked up; the token's own project if not said")
	f.StringVar(&a.conn.config, "config", "", "the configuration file")
	f.DurationVar(&a.conn.timeout, "timeout", 0, "give up after this long; 0 is never (one minute if not said)")
}

// sheet marks commands that can answer as CSV.
const sheet = "sheet"

// checkFlags refuses what can be refused without asking anybody.
func (a *app) checkFlags(cmd *cobra.Command) error {
	switch a.format {
	case "table", "json", "yaml":
	case "wide":
		a.format, a.wide = "table", true
	case "csv":
		if cmd.Annotations[sheet] == "" {
			return usagef("--output: %s has no csv; table, wide, json and yaml are known", cmd.CommandPath())
		}
	default:
		return usagef("--output: %q is not table, wide, json or yaml", a.format)
	}
	if a.conn.timeout < 0 {
		return usagef("--timeout: must not be negative")
	}
	return nil
}

// session is a connection to a server, and what goes with every request.
type session struct {
	*client.Client
	app     *app
	server  string // URL
	project string // empty: the token's own
	ca      string // file; empty: the system's authorities
}

// with is a command that begins by connecting.
func (a *app) with(run func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.connect()
		if err != nil {
			return err
		}
		return run(cmd.Context(), s, args)
	}
}

// connect finds out which server is meant and whose token is used. Nothing is sent yet.
func (a *app) connect() (*session, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	if s.Server == "" {
		return nil, configf(`which server? Say --server URL, or set UPKEEP_SERVER, or write "server: URL" into %s`, a.configPath())
	}
	if err := plainOnlyHere(s.Server); err != nil {
		return nil, err
	}
	if s.TokenFile != "" {
		if s.Token, err = readToken(s.TokenFile); err != nil {
			return nil, err
		}
	}
	c, err := client.Dial(s.Server, strings.TrimSpace(s.Token), s.CA)
	if err != nil {
		return nil, configf("%w", err)
	}
	return &session{Client: c, app: a, server: strings.TrimRight(s.Server, "/"), project: s.Project, ca: s.CA}, nil
}

// settings joins flags, environment and file; the former win.
func (a *app) settings() (settings, error) {
	file, err := a.readConfig()
	if err != nil {
		return settings{}, err
	}
	flags := settings{a.conn.server, a.conn.token, a.conn.tokenFile, a.conn.ca, a.conn.project}
	env := settings{
		a.getenv("UPKEEP_SERVER"), a.getenv("UPKEEP_TOKEN"), a.getenv("UPKEEP_TOKEN_FILE"),
		a.getenv("UPKEEP_CA"), a.getenv("UPKEEP_PROJECT"),
	}
	switch {
	case flags.Token != "" && flags.TokenFile != "":
		return flags, configf("--token and --token-file: say one of them")
	case env.Token != "" && env.TokenFile != "":
		return env, configf("UPKEEP_TOKEN and UPKEEP_TOKEN_FILE are both set: keep one of them")
	case file.Token != "" && file.TokenFile != "":
		return file, configf("%s: token and tokenFile: keep one of them", a.configPath())
	}
	s := settings{
		Server: first(flags.Server, env.Server, file.Server), CA: first(flags.CA, env.CA, file.CA),
		Project: first(flags.Project, env.Project, file.Project),
	}
	// A token is for the server that it was given to: the file's does not
	// follow to one that somebody named on the command line.
	if s.Server != file.Server {
		file.Token, file.TokenFile = "", ""
	}
	for _, from := range []settings{flags, env, file} {
		if from.Token != "" || from.TokenFile != "" {
			s.Token, s.TokenFile = from.Token, from.TokenFile
			break
		}
	}
	return s, nil
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// configPath is where the configuration file is, or would be.
func (a *app) configPath() string {
	if path := first(a.conn.config, a.getenv("UPKEEP_CONFIG")); path != "" {
		return path
	}
	dir := a.getenv("XDG_CONFIG_HOME")
	if dir == "" {
		if home := a.getenv("HOME"); home != "" && runtime.GOOS != "windows" {
			dir = filepath.Join(home, ".config")
		} else if d, err := os.UserConfigDir(); err == nil {
			dir = d
		}
	}
	return filepath.Join(dir, "upkeep", "config.yaml")
}

// readConfig reads the configuration file. One that nobody named need not be there.
func (a *app) readConfig() (s settings, err error) {
	path := a.configPath()
	text, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) && a.conn.config == "" && a.getenv("UPKEEP_CONFIG") == "" {
		return s, nil
	}
	if err != nil {
		return s, configf("the configuration file: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.Strict()); err != nil {
		line, reason := yamlReason(err)
		return s, configf("%s:%d: %s; known are server, token, tokenFile, ca and project", path, line, reason)
	}
	if s.Token != "" {
		if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			fmt.Fprintf(a.err, "upkeep: warning: others on this machine can read the token in %s: chmod 600 it\n", path)
		}
	}
	for _, file := range []*string{&s.TokenFile, &s.CA} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
	return s, nil
}

func readToken(path string) (string, error) {
	text, err := readSmall(path)
	if err != nil {
		return "", configf("the token's file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", configf("the token's file: %s holds no token: one line is expected", path)
	}
	return token, nil
}

// readSmall reads a file that can't be large, such as one that was named by mistake.
func readSmall(path string) ([]byte, error) { return readUpTo(path, maxFile) }

func readUpTo(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return os.ReadFile(path)
}

// plainOnlyHere refuses to send a token readably over a network.
func plainOnlyHere(server string) error {
	if !strings.HasPrefix(strings.ToLower(server), "http://") {
		return nil
	}
	u, err := url.Parse(server)
	if err != nil {
		return configf("%q is no server's address: such as https://upkeep.example.net is needed", server)
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return configf("%s: the token would travel readably; say https://%s", server, u.Host)
}

// yamlReason is where a YAML error is, and what it is, without the source around it.
func yamlReason(err error) (line int, reason string) {
	var e yaml.Error
	if !errors.As(err, &e) {
		return 1, oneLine(err.Error())
	}
	line = 1
	if t := e.GetToken(); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	return line, oneLine(e.GetMessage())
}
