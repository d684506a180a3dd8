//go:build linux

package lab

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Package is a Debian package to be built. The scripts are lines of shell,
// run with set -e, that stand in the scripts of a package which also keeps the
// two logs (see Installs); Preinst and Prerm see dpkg's arguments as they are,
// Postinst runs at "configure" only.
type Package struct {
	Name, Version string
	Depends       string
	Files         map[string]string // path → text
	Conffiles     map[string]string // the same, and asked about when changed
	Preinst       string
	Postinst      string
	Prerm         string
	Postrm        string
}

const (
	beginLog   = "/var/lib/lab/begins.log"
	installLog = "/var/lib/lab/installs.log"
)

// deb is a built package: the file, and its paragraph for an archive's index.
type deb struct {
	file      []byte
	name      string // of the file
	paragraph string
}

// build makes the package. It is written here rather than by dpkg-deb, because
// a whole archive then takes milliseconds and no files.
func (p Package) build() (deb, error) {
	control := p.control()
	files := maps.Clone(p.Files)
	if files == nil {
		files = map[string]string{}
	}
	files["/usr/share/doc/"+p.Name+"/version"] = p.Version + "\n"
	maps.Copy(files, p.Conffiles)
	data, err := tarball(files, nil)
	if err != nil {
		return deb{}, fmt.Errorf("build %s: %w", p.Name, err)
	}
	meta, err := tarball(map[string]string{
		"/control":   control,
		"/conffiles": lines(slices.Sorted(maps.Keys(p.Conffiles))),
		"/preinst":   script(p.Preinst),
		"/postinst":  script(p.postinst()),
		"/prerm":     script(p.Prerm),
		"/postrm":    script(p.Postrm),
	}, []string{"/preinst", "/postinst", "/prerm", "/postrm"})
	if err != nil {
		return deb{}, fmt.Errorf("build %s: %w", p.Name, err)
	}
	d := deb{name: fmt.Sprintf("%s_%s_all.deb", p.Name, strings.ReplaceAll(p.Version, ":", "%3a"))}
	d.file = ar([]member{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", meta}, {"data.tar.gz", data}})
	d.paragraph = fmt.Sprintf("%sFilename: pool/%s\nSize: %d\nSHA256: %x\n", control, d.name, len(d.file), sha256.Sum256(d.file))
	return d, nil
}

func (p Package) control() string {
	c := "Package: " + p.Name + "\nVersion: " + p.Version + "\nArchitecture: all\n" +
		"Maintainer: Lab <lab@example.org>\nPriority: optional\nSection: misc\n"
	if p.Depends != "" {
		c += "Depends: " + p.Depends + "\n"
	}
	return c + "Description: package of the lab\n"
}

// postinst notes when configuring begins and when it is done, around what the
// package itself does then.
func (p Package) postinst() string {
	note := func(log string) string {
		return fmt.Sprintf("mkdir -p /var/lib/lab\necho '%s %s' $(date +%%s.%%N) >>%s\n", p.Name, p.Version, log)
	}
	return "[ \"$1\" = configure ] || exit 0\n" + note(beginLog) + lines([]string{p.Postinst}) + note(installLog)
}

func script(body string) string {
	if body == "" {
		return ""
	}
	return "#!/bin/sh\nset -e\n" + body + "\n"
}

func lines(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return strings.Join(l, "\n") + "\n"
}

// tarball packs the files that are not empty, after the folders they are in.
func tarball(files map[string]string, programs []string) ([]byte, error) {
	folders := map[string]bool{"/": true}
	for name := range files {
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	tw := tar.NewWriter(zip)
	built := time.Unix(1700000000, 0)
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimSuffix("."+dir, "/") + "/", Mode: 0o755, ModTime: built}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", dir, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == "" {
			continue
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: "." + name, Mode: 0o644, Size: int64(len(files[name])), ModTime: built}
		if slices.Contains(programs, name) {
			h.Mode = 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := tw.Write([]byte(files[name])); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

type member struct {
	name string
	data []byte
}

// ar packs members as dpkg-deb wants them.
func ar(members []member) []byte {
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 1700000000, 0, 0, "100644", len(m.data))
		out.Write(m.data)
		if len(m.data)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes()
}
