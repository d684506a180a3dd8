package api

import (
	"context"
	"fmt"
	"net/http"

	"upkeep/internal/desk"
	"upkeep/internal/limit"
)

// RegisterWithoutScope registers an operation that forgot to say who may call it.
func RegisterWithoutScope() (err any) {
	defer func() { err = recover() }()
	d := &door{limit: limit.New(1, 1)}
	d.open(http.NewServeMux())
	register(d, op{id: "forgot", call: "GET /v1/forgot", summary: "s", description: "d."},
		func(context.Context, desk.Caller, *nothing) (*whoamiOut, error) { return nil, fmt.Errorf("called") })
	return nil
}

// Undescribed are the schemas, and the fields of them, of which nothing is said.
func Undescribed() (names []string) {
	for name, s := range document().Components.Schemas.Map() {
		if s.Description == "" {
			names = append(names, name)
		}
		for field, p := range s.Properties {
			if p.Description == "" {
				names = append(names, name+"."+field)
			}
		}
	}
	for name := range descriptions {
		if document().Components.Schemas.Map()[name] == nil {
			names = append(names, name+", which is described and gone")
		}
	}
	return names
}
