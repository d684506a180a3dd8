//go:build linux

package lab

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Repo is the apt repository of a lab: two archives, which servers know from
// their start, and a log of who asked for what.
type Repo struct {
	Main     *Archive // Origin and Label "Upkeep"
	Security *Archive // what Debian's security archive calls itself

	mu       sync.Mutex
	files    map[string][]byte // what is published: URL path → content
	requests []Request
	dead     bool
}

// Archive is one suite of packages. What is added can be installed after the
// next Publish; older versions stay, as in an archive that keeps them.
type Archive struct {
	path                           string
	origin, label, suite, codename string
	version                        string

	repo *Repo
	debs []deb
}

// Request is one file that was asked for.
type Request struct {
	At     time.Time
	From   netip.Addr // the server's Addr
	Path   string
	Status int
}

func newRepo() *Repo {
	r := &Repo{files: map[string][]byte{}}
	r.Main = &Archive{repo: r, path: "/upkeep", origin: "Upkeep", label: "Upkeep", suite: "stable", codename: "bookworm", version: "1"}
	// Word for word what the real one says since bookworm is oldstable.
	r.Security = &Archive{
		repo: r, path: "/debian-security", origin: "Debian", label: "Debian-Security",
		suite: "oldstable-security", codename: "bookworm-security", version: "12",
	}
	return r
}

// Add builds packages for the next Publish.
func (a *Archive) Add(packages ...Package) error {
	for _, p := range packages {
		d, err := p.build()
		if err != nil {
			return err
		}
		a.repo.mu.Lock()
		a.debs = append(a.debs, d)
		a.repo.mu.Unlock()
	}
	return nil
}

// Publish makes all that was added visible, in both archives at once. A file
// of the same name and version is replaced.
func (r *Repo) Publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := map[string][]byte{}
	for _, a := range []*Archive{r.Main, r.Security} {
		a.publish(files)
	}
	r.files = files
}

func (a *Archive) publish(files map[string][]byte) {
	last := map[string]string{} // file name → paragraph
	for _, d := range a.debs {
		last[d.name] = d.paragraph
		files[a.path+"/pool/"+d.name] = d.file
	}
	var index bytes.Buffer
	for _, d := range a.debs {
		if p, ok := last[d.name]; ok {
			index.WriteString(p + "\n")
			delete(last, d.name)
		}
	}
	// Architecture names of Debian and Go agree on what the lab runs on.
	name := "main/binary-" + runtime.GOARCH + "/Packages"
	dist := a.path + "/dists/" + a.codename + "/"
	files[dist+name] = index.Bytes()
	files[dist+"Release"] = fmt.Appendf(nil, "Origin: %s\nLabel: %s\nSuite: %s\nVersion: %s\nCodename: %s\nDate: %s\n"+
		"Architectures: %s\nComponents: main\nSHA256:\n %x %d %s\n",
		a.origin, a.label, a.suite, a.version, a.codename, time.Now().UTC().Format(time.RFC1123),
		runtime.GOARCH, sha256.Sum256(index.Bytes()), index.Len(), name)
}

// Requests returns all requests so far, oldest first.
func (r *Repo) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Downloads returns the requests for packages of this name, of any version.
func (r *Repo) Downloads(name string) []Request {
	return slices.DeleteFunc(r.Requests(), func(q Request) bool {
		return !strings.HasPrefix(path.Base(q.Path), name+"_")
	})
}

// SetDead makes the repository hang up on everybody, or serve again.
func (r *Repo) SetDead(dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = dead
}

// ServeHTTP serves what is published. It tells no modification times: they
// have full seconds, and two Publishes in one second would look the same.
func (r *Repo) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	file, ok := r.files[q.URL.Path]
	dead := r.dead
	status := http.StatusOK
	switch {
	case dead:
		status = 0
	case !ok:
		status = http.StatusNotFound
	}
	from, _ := netip.ParseAddrPort(q.RemoteAddr) // net/http wrote it
	r.requests = append(r.requests, Request{At: time.Now(), From: from.Addr().Unmap(), Path: q.URL.Path, Status: status})
	r.mu.Unlock()
	switch {
	case dead:
		panic(http.ErrAbortHandler) // closes the connection without an answer
	case !ok:
		http.NotFound(w, q)
	default:
		http.ServeContent(w, q, path.Base(q.URL.Path), time.Time{}, bytes.NewReader(file))
	}
}

// startRepo serves a repository that has the given packages, until the lab ends.
func (l *Lab) startRepo(packages []Package) error {
	l.Repo = newRepo()
	if err := l.Repo.Main.Add(packages...); err != nil {
		return err
	}
	l.Repo.Publish()
	listener, err := l.Listen(Gateway + ":80")
	if err != nil {
		return fmt.Errorf("serve repository: %w", err)
	}
	server := &http.Server{Handler: l.Repo, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	l.undo = append(l.undo, func() error {
		closed := server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve repository: %w", err)
		}
		return closed
	})
	return nil
}

func (a *Archive) source() string {
	return "deb [trusted=yes] http://" + RepoName + a.path + " " + a.codename + " main\n"
}
