package api

import (
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// RunbookSchema is the JSON Schema of a runbook in a file: an editor checks
// with it what is typed. The control plane checks more.
func RunbookSchema() ([]byte, error) {
	registry := huma.NewMapRegistry("#/$defs/", huma.DefaultSchemaNamer)
	root := huma.SchemaFromType(registry, reflect.TypeFor[RunbookDocument]())
	root.Title, root.Description = "Upkeep runbook", "How the members of a service are maintained."
	defs := registry.Map()
	for name, s := range defs {
		s.Description = descriptions[name]
		for _, p := range s.Properties {
			p.Nullable = false
		}
	}
	for _, p := range root.Properties {
		p.Nullable = false
	}
	// The schema's own keys go before those of the document that it describes.
	text, err := json.Marshal(root)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	out["$schema"], out["$defs"] = "https://json-schema.org/draft/2020-12/schema", defs
	// Who drains says how long a member may be out.
	out["if"] = needs("member", map[string]any{"member": needs("drain", map[string]any{"drain": map[string]any{"minItems": 1}})})
	out["then"] = map[string]any{"required": []string{"budget"}}
	text, err = json.MarshalIndent(out, "", "  ")
	return append(text, '\n'), err
}

// needs is the schema of an object that has the field, which is as said.
func needs(field string, properties map[string]any) map[string]any {
	return map[string]any{"required": []string{field}, "properties": properties}
}
