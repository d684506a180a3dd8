package stackit

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"upkeep/internal/desk"
)

// call is one request, understood as far as its address goes.
type call struct {
	who    desk.Caller
	values values
	query  map[string][]string
	body   []byte
}

// handler answers a call: 204 if body is nil.
type handler func(ctx context.Context, c *call) (status int, body any, err error)

// route is an address with what can be done there.
type route struct {
	pattern []string
	methods map[string]handler
	images  bool // errors have the shape of the images' API
}

// The addresses of a server, and those of a project.
const (
	serverV2 = "v2/projects/{projectId}/regions/{region}/servers/{serverId}"
	serverV1 = "v1/projects/{projectId}/servers/{serverId}"
	instance = "v1/service-instances/{instanceId}"
)

var projectRoots = []string{
	"v2/projects/{projectId}", "v2/projects/{projectId}/regions/{region}",
	"v1/projects/{projectId}", "v1/projects/{projectId}/regions/{region}",
}

// routes are all that the door knows.
func (d *door) routes() (all []route) {
	add := func(root, tail string, methods map[string]handler) *route {
		all = append(all, route{pattern: strings.Split(root+tail, "/"), methods: methods})
		return &all[len(all)-1]
	}
	for _, root := range []string{serverV2, serverV1, instance} {
		itself := map[string]handler{http.MethodGet: d.getServer}
		if root == serverV1 { // elsewhere that would be to make and to delete a server
			itself[http.MethodPost], itself[http.MethodDelete] = d.enable, d.disable
		}
		add(root, "", itself)
		add(root, "/service", map[string]handler{http.MethodPost: d.enable, http.MethodGet: d.getService, http.MethodDelete: d.disable})
		add(root, "/updates", map[string]handler{http.MethodPost: d.createUpdate, http.MethodGet: d.listUpdates})
		add(root, "/updates/{updateId}", map[string]handler{http.MethodGet: d.getUpdate})
		add(root, "/update-schedules", map[string]handler{http.MethodPost: d.createSchedule, http.MethodGet: d.listSchedules})
		add(root, "/update-schedules/{scheduleId}", map[string]handler{
			http.MethodGet: d.getSchedule, http.MethodPut: d.replaceSchedule, http.MethodDelete: d.deleteSchedule,
		})
	}
	for _, root := range projectRoots {
		if !strings.HasSuffix(root, "{region}") {
			add(root, "", map[string]handler{http.MethodGet: d.getProject})
		}
		add(root, "/update-policies", map[string]handler{http.MethodGet: d.listPolicies})
		add(root, "/images", map[string]handler{http.MethodGet: d.listImages}).images = true
		add(root, "/images/{imageId}", map[string]handler{http.MethodGet: d.getImage}).images = true
	}
	return all
}

// find is the route of a path, and what the path fills in.
func (d *door) find(escaped string) (route, values, bool) {
	segments, _ := locate(escaped)
	for _, r := range d.table {
		if v, ok := match(r.pattern, segments); ok {
			return r, v, true
		}
	}
	return route{images: slices.Contains(segments, "images")}, nil, false
}

// allow lists the methods of a route as the header Allow does.
func (r route) allow() string {
	names := slices.Collect(maps.Keys(r.methods))
	if r.methods[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	slices.Sort(names)
	return strings.Join(append(names, http.MethodOptions), ", ")
}
