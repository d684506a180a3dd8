// Command gen writes what is generated from the API: the OpenAPI document, the
// JSON Schema of runbooks, and the client's models and methods. It is run by go generate.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"upkeep/internal/api"
)

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := generate(root); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate(root string) error {
	doc, err := api.Document()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "api", "openapi.yaml"), doc, 0o644); err != nil {
		return err
	}
	schema, err := api.RunbookSchema()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "api", "runbook.schema.json"), schema, 0o644); err != nil {
		return err
	}
	// The generator reads OpenAPI 3.0; nobody else is to see that document.
	older, err := api.DocumentForClient()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp("", "openapi-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what can't be removed is where such files are cleared away
	if _, err := tmp.Write(older); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return client(root, tmp.Name(), older)
}

// client runs the generator, which has a module of its own: its dependencies
// are none of the product's.
func client(root, doc string, content []byte) error {
	cmd := exec.Command("go", "tool", "-modfile=tools/oapi-codegen/go.mod", "oapi-codegen", "-config", "client/oapi-codegen.yaml", doc)
	cmd.Dir = root
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("oapi-codegen: %w", err)
	}
	// A test compares this, without running the generator.
	fmt.Fprintf(&out, "\n// From the document with the SHA-256 %x.\n", sha256.Sum256(content))
	return os.WriteFile(filepath.Join(root, "client", "client.gen.go"), out.Bytes(), 0o644)
}
