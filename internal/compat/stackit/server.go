package stackit

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/fault"
	"upkeep/internal/fleet"
)

// server finds the server that a call's address names: in the project that it
// names, or where it names an instance alone, wherever the caller may see it.
func (d *door) server(ctx context.Context, c *call) (desk.Server, error) {
	field, ref := "serverId", c.values["serverId"]
	if ref == "" {
		field, ref = "instanceId", c.values["instanceId"]
	}
	project := c.values["projectId"]
	s, err := d.desk.Server(ctx, c.who, project, ref)
	switch {
	case fault.Is(err, fault.KindNotFound), err == nil && project != "" && s.Target.Project != project:
		where := ""
		if project != "" {
			where = fmt.Sprintf(" in project %q", clip(project))
		}
		return s, missing(field, "there is no server %q%s", clip(ref), where)
	case err != nil:
		return s, err
	}
	asked, at := c.values["region"], s.Target.Labels["region"]
	if asked != "" && at != "" && asked != at {
		return s, missing("region", "server %s is not in %q: its label says %q", s.Target.Name, clip(asked), clip(at))
	}
	return s, nil
}

// missing is a refusal of an address that names what does not exist.
func missing(field, format string, args ...any) refusal {
	return refusal{status: http.StatusNotFound, field: field, reason: fmt.Sprintf(format, args...)}
}

// numberOf reads an id of an update or a schedule; there is none that is not a
// small number.
func (c *call) numberOf(field string) (int64, error) {
	text := c.values[field]
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != text {
		return 0, missing(field, "%q is no id: ids are whole numbers from 1 on", clip(text))
	}
	return n, nil
}

// unmanaged puts the desk's refusal of a server that is left to its owner into
// the words of this door: what to do about it.
func unmanaged(s desk.Server, err error) error {
	if s.Target.Management != fleet.Unmanaged || !fault.Is(err, fault.KindConflict) {
		return err
	}
	return refusal{status: http.StatusConflict, field: "service", reason: fmt.Sprintf(
		"server %s is unmanaged: its owner installs its updates, and nothing is done to it from here. To have that changed, enable its update service first (POST …/service; stackit server os-update enable)", s.Target.Name)}
}

// serverBody is a server as the IaaS API has it. Its clients need the first
// three; what Upkeep does not know is left out.
type serverBody struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	MachineType string            `json:"machineType"`
	Labels      map[string]string `json:"labels,omitempty"`
	ImageID     string            `json:"imageId,omitempty"`
	CreatedAt   string            `json:"createdAt,omitempty"`
	Management  string            `json:"management,omitempty"`
}

// machineTypeLabel is a server's label that says what kind of machine it is.
const machineTypeLabel = "machineType"

func (d *door) getServer(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	t := s.Target
	arch := ""
	if t.Observed != nil {
		arch = t.Observed.Arch
	}
	return http.StatusOK, serverBody{
		ID: t.ID, Name: t.Name, MachineType: cmp.Or(t.Labels[machineTypeLabel], arch, "unknown"), Labels: t.Labels,
		ImageID: t.Image, CreatedAt: stamp(t.Created), Management: string(t.Management),
	}, nil
}

// projectBody is a project as the clients' look for its name needs it.
type projectBody struct {
	ID             string `json:"id"`
	ProjectID      string `json:"projectId"`
	Name           string `json:"name"`
	Status         string `json:"status"`
	LifecycleState string `json:"lifecycleState"`
}

func (d *door) getProject(ctx context.Context, c *call) (int, any, error) {
	name := c.values["projectId"]
	// A project exists for whoever may look into it.
	if _, err := d.desk.Templates(ctx, c.who, name); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, projectBody{name, name, name, "ACTIVE", "ACTIVE"}, nil
}

// serviceBody says that a server's service is enabled: while it is not there is none.
type serviceBody struct {
	Enabled bool `json:"enabled"`
}

func (d *door) getService(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	if s.Target.Management != fleet.Managed {
		return 0, nil, missing("service", "is not enabled on server %s", s.Target.Name)
	}
	return http.StatusOK, serviceBody{true}, nil
}

// alreadyActive is the sentence that clients know a repeated activation by.
const alreadyActive = "Tried to activate already active service"

func (d *door) enable(ctx context.Context, c *call) (int, any, error) {
	o, err := objectOf(c.body, false)
	if err != nil {
		return 0, nil, err
	}
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	var policy string
	if o.has("updatePolicyId") {
		if policy, err = o.text("updatePolicyId"); err != nil {
			return 0, nil, err
		}
		if err := d.mayUse(ctx, c, s, policy); err != nil {
			return 0, nil, err
		}
	}
	_, err = d.desk.Manage(ctx, c.who, s.Target.Project, s.Target.ID, policy)
	if fault.Is(err, fault.KindConflict) && d.isManaged(ctx, c) {
		err = refusal{status: http.StatusConflict, message: alreadyActive}
	}
	return http.StatusNoContent, nil, err
}

// isManaged looks again whether the service is enabled.
func (d *door) isManaged(ctx context.Context, c *call) bool {
	s, err := d.server(ctx, c)
	return err == nil && s.Target.Management == fleet.Managed
}

// mayUse refuses a policy that the server can't be given, by the field's name.
func (d *door) mayUse(ctx context.Context, c *call, s desk.Server, policy string) error {
	all, err := d.desk.Templates(ctx, c.who, s.Target.Project)
	if err != nil {
		return err
	}
	for _, t := range all {
		switch {
		case t.ID != policy:
		case !t.Enabled:
			return fault.Invalid("updatePolicyId", "policy %q is not enabled", t.Name)
		default:
			return nil
		}
	}
	return fault.Invalid("updatePolicyId", "there is no policy %q; GET …/update-policies lists them", clip(policy))
}

func (d *door) disable(ctx context.Context, c *call) (int, any, error) {
	s, err := d.server(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	_, err = d.desk.Unmanage(ctx, c.who, s.Target.Project, s.Target.ID)
	return http.StatusNoContent, nil, err
}

// stamp writes an instant; empty if it is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
