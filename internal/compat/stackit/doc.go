// Package stackit is the door for clients of STACKIT's server updates: its Go
// SDK, its command line and its Terraform provider, unmodified. It translates
// and no more; what a caller may do and what a request means, the desk decides.
//
// The same handlers stand behind three addresses of a server:
//
//	/v2/projects/{projectId}/regions/{region}/servers/{serverId}
//	/v1/projects/{projectId}/servers/{serverId}
//	/v1/service-instances/{instanceId}
//
// also with slashes too many before them, and below any prefix that a client's
// endpoint has. projectId is a project's name here, serverId a server's id or
// name; a region is looked at only where the server's label "region" says
// another one.
//
// What these clients call a service is our management: it is enabled on a
// server that is fleet.Managed, and nowhere else. Schedules and updates of a
// server that is fleet.Unmanaged are refused, as the desk refuses them at every
// door; one that is looked after by hand takes them, as it does there.
//
// The names of an update's states are not part of any published contract. They
// are, and will stay:
//
//	running     from its beginning to its end, also while it waits; the key
//	            "waits" then says for what
//	Successful  all was installed that was to be; also if nothing was
//	Failed      something was not; failReason says what, and why
//	Aborted     a person ended it; failReason says so
//
// An answer has more keys than STACKIT's, which its clients pass over or show.
// A request may have more keys too; they are not looked at.
//
// The package keeps no state but the limiter's, which a crash may forget.
package stackit
