package portal

import "net/url"

func groupPath(project, name string) string {
	return "/groups/" + url.PathEscape(project) + "/" + url.PathEscape(name)
}
