package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"upkeep/internal/fault"
)

func TestProbesAreRefused(t *testing.T) {
	good := func() Probe {
		return Probe{Rate: 10, Slow: time.Second, Endpoints: []Endpoint{{Name: "list", URL: "https://api/v3/projects", Header: map[string]string{"X-Auth-Token": "s3cret"}}}}
	}
	for field, spoil := range map[string]func(*Probe){
		"probe.endpoints":             func(p *Probe) { p.Endpoints = nil },
		"probe.rate":                  func(p *Probe) { p.Rate = 0 },
		"probe.timeout":               func(p *Probe) { p.Timeout = MaxProbeTimeout + 1 },
		"probe.slow":                  func(p *Probe) { p.Slow = DefaultProbeTimeout },
		"probe.endpoints.list.url":    func(p *Probe) { p.Endpoints[0].URL = "api" },
		"probe.endpoints.list.header": func(p *Probe) { p.Endpoints[0].Header["X-Auth-Token"] = "s3cret\r\nX: y" },
		"probe.endpoints.list.ca":     func(p *Probe) { p.Endpoints[0].CA = "none" },
	} {
		p := good()
		spoil(&p)
		var f *fault.Error
		err := Service{Members: []Member{{Name: "a"}}, Probe: p}.Validate()
		if !errors.As(err, &f) || f.Field != field || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", field, err)
		}
	}
	twice, guest := good(), good()
	twice.Endpoints = append(twice.Endpoints, twice.Endpoints[0])
	guest.Endpoints[0].URL = "http://ada:pw@api/"
	for _, p := range []Probe{twice, guest} {
		if p.Validate() == nil {
			t.Errorf("%+v", p)
		}
	}
	for _, p := range []Probe{{}, good()} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
}
