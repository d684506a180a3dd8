package stackit_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fleet"
)

// The three requests of the documentation that customers have scripts from, as
// they stand there.
func TestRequestsOfTheDocumentation(t *testing.T) {
	for name, prepare := range map[string]func(h *house, s fleet.Target){
		"a server that is looked after by hand": func(*house, fleet.Target) {},
		// It has a "Default Update Schedule" of its own already.
		"a managed server": func(h *house, s fleet.Target) {
			_, err := h.desk.Manage(t.Context(), operator, red, s.ID, "")
			h.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			s := h.server("web-1", nil)
			prepare(h, s)
			for _, ref := range []string{s.ID, s.Name} {
				root := "/v1/service-instances/" + ref
				var update Update
				a := h.ask("POST "+root+"/updates", "mara", `{ "maintenanceWindow": 2 }`)
				if ref == s.ID {
					a.is(http.StatusAccepted).into(&update)
				} else {
					a.is(http.StatusConflict)
					update.ID = 1
				}
				var got map[string]any
				h.ask("GET "+root+"/updates/1", "mara", "").is(http.StatusOK).into(&got)
				if got["id"] != 1.0 || got["status"] != "running" || got["startDate"] == "" || update.ID != 1 {
					t.Errorf("%v", got)
				}
				made := h.ask("POST "+root+"/update-schedules", "mara",
					`{ "name": "Default Update Schedule", "rrule": "DTSTART;TZID=Europe/Sofia:20200803T134000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA", "enabled": true, "maintenanceWindow": 2 }`).is(http.StatusCreated)
				for _, want := range []string{
					`"name":"Default Update Schedule"`,
					`"rrule":"DTSTART;TZID=Europe/Sofia:20200803T134000 RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=SA"`,
					`"enabled":true`, `"maintenanceWindow":2`, `starts 13:40, ends 15:40`,
				} {
					if !strings.Contains(made.text, want) {
						t.Errorf("%s has no %s", made.text, want)
					}
				}
			}
		})
	}
}

// Names may be there twice, as in the customer's old world. Each comes back as
// it was given; the other doors, which go by names, tell them apart.
func TestSameNameTwice(t *testing.T) {
	h := newHouse(t)
	server := h.server("web-1", nil)
	c := h.v2("mara", "", server.ID)
	names := []string{"weekly", "weekly", "weekly #7", "weekly", "a #1", "weekly #4", "x"}
	for i, name := range names {
		made, err := c.schedule(name, seedRule, true, 2)
		h.must(err)
		if made.Name != name || int(made.ID) != i+1 {
			t.Errorf("%q came back as %q, id %d", name, made.Name, made.ID)
		}
	}
	all, err := c.schedules()
	h.must(err)
	for i, s := range all {
		if s.Name != names[i] {
			t.Errorf("%q is listed as %q", names[i], s.Name)
		}
	}
	s, err := h.desk.Server(t.Context(), operator, red, server.ID)
	h.must(err)
	kept := map[string]bool{}
	for _, one := range s.Schedules {
		kept[one.Name] = true
	}
	if len(kept) != len(names) || !kept["weekly"] || !kept["weekly #2"] || !kept["weekly #4"] {
		t.Errorf("kept as %v", kept)
	}
	for _, id := range []string{"2", "7"} {
		if changed, err := c.replace(id, "weekly", seedRule, false, 3); err != nil || changed.Name != "weekly" || changed.Enabled {
			t.Errorf("%+v %v", changed, err)
		}
	}
	// At the native door a name is taken, as ever.
	_, err = h.desk.CreateSchedule(t.Context(), operator, desk.ScheduleSpec{Project: red, Server: server.ID, Name: "weekly", RRule: cliRule, Duration: time.Hour, AllowOverlap: true})
	if err == nil || !strings.Contains(err.Error(), "already, number 1") {
		t.Error(err)
	}
}

// Overlaps are the customer's business, and shown.
func TestOverlapsAreShown(t *testing.T) {
	h := newHouse(t)
	c := h.v2("mara", "", h.server("web-1", nil).ID)
	_, err := c.schedule("first", seedRule, true, 2)
	h.must(err)
	second, err := c.schedule("second", strings.Replace(seedRule, "T134000", "T143000", 1), true, 2)
	h.must(err)
	if len(second.Overlaps) != 3 {
		t.Fatalf("%+v", second)
	}
	o := second.Overlaps[0]
	if o.ScheduleID != 1 || o.Name != "first" || !strings.Contains(o.Start, "T14:30:00+0") || !strings.Contains(o.End, "T15:40:00+0") {
		t.Errorf("%+v", o)
	}
	h.must(h.v2("mara", "", "web-1").deleteSchedule("1"))
	if alone, err := c.getSchedule("2"); err != nil || len(alone.Overlaps) != 0 {
		t.Errorf("%+v %v", alone, err)
	}
}

// What Terraform's provider does, in its order.
func TestAsTerraformDoes(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", nil)
	root := "/v2/projects/" + red + "/regions/eu01/servers/" + s.ID
	schedules := root + "/update-schedules"
	service := func(status int, text string) {
		t.Helper()
		if a := h.ask("POST "+root+"/service", "mara", "{}").is(status); a.text != text {
			t.Errorf("%s", a.text)
		}
	}
	service(http.StatusNoContent, "")
	if a := h.ask("GET "+root+"/service", "mara", "").is(http.StatusOK); a.text != `{"enabled":true}` {
		t.Error(a.text)
	}
	const active = `{"status":"Conflict","message":"Tried to activate already active service"}`
	service(http.StatusConflict, active)

	// One rule, or several joined by a space or a line's end: Terraform has no commas.
	several := "DTSTART;TZID=Europe/Berlin:20260105T020000\\nRRULE:FREQ=WEEKLY;BYDAY=SA\\nRRULE:FREQ=WEEKLY;BYDAY=SU"
	var made Schedule
	h.ask("POST "+schedules, "mara", `{"enabled":true,"maintenanceWindow":1,"name":"tf","rrule":"`+several+`"}`).is(http.StatusCreated).into(&made)
	if want := strings.ReplaceAll(several, `\n`, "\n"); made.RRule != want || made.Name != "tf" {
		t.Errorf("%+v", made)
	}
	days := map[time.Weekday]bool{}
	for _, o := range made.Occurrences {
		start, err := time.Parse(time.RFC3339, o.Start)
		h.must(err)
		days[start.Weekday()] = true
	}
	if len(days) != 2 || !days[time.Saturday] || !days[time.Sunday] {
		t.Errorf("two rules start on %v", days)
	}
	var all items[Schedule]
	h.ask("GET "+schedules, "mara", "").is(http.StatusOK).into(&all)
	if len(all.Items) != 2 || all.Items[1].ID != made.ID {
		t.Errorf("%+v", all)
	}

	// Whether it is on and how long go by PUT, a name and a rule by taking away and making anew.
	var changed Schedule
	at := schedules + "/2"
	h.ask("PUT "+at, "mara", `{"enabled":false,"maintenanceWindow":4,"name":"tf","rrule":"`+several+`"}`).is(http.StatusOK).into(&changed)
	if changed.ID != 2 || changed.Enabled || changed.MaintenanceWindow != 4 || changed.RRule != made.RRule {
		t.Errorf("%+v", changed)
	}
	h.ask("DELETE "+at, "mara", "").is(http.StatusNoContent)
	h.ask("POST "+schedules, "mara", `{"enabled":true,"maintenanceWindow":4,"name":"tf2","rrule":"`+several+`"}`).is(http.StatusCreated).into(&made)
	if made.ID != 3 {
		t.Error(made.ID)
	}

	// Somebody takes it away, and the service: the next plan sees both.
	h.must(h.v1("mara", "", s.ID, false).deleteSchedule("3"))
	h.ask("GET "+schedules+"/3", "mara", "").is(http.StatusNotFound)
	h.ask("DELETE "+schedules+"/3", "mara", "").is(http.StatusNotFound)
	h.ask("DELETE "+root+"/service", "mara", "").is(http.StatusNoContent)
	h.ask("GET "+root+"/service", "mara", "").is(http.StatusNotFound)
	service(http.StatusNoContent, "")
	service(http.StatusConflict, active)
}

// What the command line does: its defaults, what it does not check, and what it
// asks beside that.
func TestAsTheCommandLineDoes(t *testing.T) {
	h := newHouse(t)
	s := h.server("web-1", map[string]string{"machineType": "g2i.1"})
	c := h.v2("mara", "", s.ID)
	server, err := h.iaas("mara").GetServer(t.Context(), red, region, s.ID).Details(false).Execute()
	h.must(err)
	if server.GetName() != "web-1" || server.GetMachineType() != "g2i.1" {
		t.Errorf("%+v", server)
	}
	project := h.ask("GET /v2/projects/"+red, "mara", "").is(http.StatusOK)
	if !strings.Contains(project.text, `"name":"`+red+`"`) {
		t.Error(project.text)
	}
	h.ask("GET /v2/projects/blue", "mara", "").is(http.StatusNotFound)
	h.must(c.enable(nil))
	made, err := c.schedule("schedule", cliRule, true, 23)
	h.must(err)
	if made.RRule != cliRule || made.MaintenanceWindow != 23 {
		t.Errorf("%+v", made)
	}
	for _, hours := range []int32{99, 25, 0, -1} {
		_, err = c.update(hours, nil)
		refused(t, err, http.StatusBadRequest, `"field":"maintenanceWindow"`, "maintenanceWindow: must be a whole number of hours from 1 to 24", "not when")
		_, err = c.schedule("x", cliRule, true, hours)
		refused(t, err, http.StatusBadRequest, "maintenanceWindow: ")
	}
	comma, err := c.schedule("comma", "DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;BYDAY=SA,SU", true, 1)
	h.must(err)
	if comma.RRule != "DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY;BYDAY=SA,SU" {
		t.Error(comma.RRule)
	}
	for _, other := range []string{
		"DTSTART:20260103T020000Z RRULE:FREQ=WEEKLY",
		"dtstart;tzid=Europe/Berlin:20260103T020000  \t rrule:freq=weekly",
		"DTSTART;TZID=Europe/Berlin:20260103T020000 RRULE:FREQ=WEEKLY EXDATE;TZID=Europe/Berlin:20300105T020000 RDATE;TZID=Europe/Berlin:20300107T020000",
		"DTSTART;TZID=Europe/Berlin:20260103T020000\r\nRRULE:FREQ=MONTHLY;BYDAY=1SA\r\n",
	} {
		if made, err := c.schedule("r", other, false, 24); err != nil || made.RRule != other || made.MaintenanceWindow != 24 {
			t.Errorf("%q: %+v %v", other, made, err)
		}
	}
}
