package portal

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/limit"
)

// The cookies of the portal.
const (
	sessionCookie = "upkeep_session"
	langCookie    = "upkeep_lang"
)

// maxToken is longer than any token: what is longer is not looked at.
const maxToken = 512

// recognise finds out who looks: by cookie, else as the anonymous principal.
func (p *Portal) recognise(v *visit) error {
	if c, err := v.r.Cookie(sessionCookie); err == nil && c.Value != "" {
		who, err := p.cfg.Verify(v.r.Context(), c.Value)
		switch {
		case err == nil:
			v.caller.Principal, v.known, v.signedIn = who, true, true
			return nil
		case !fault.Is(err, fault.KindDenied):
			return err
		}
	}
	if p.cfg.Anonymous != nil {
		v.caller.Principal, v.known = *p.cfg.Anonymous, true
	}
	return nil
}

// signInView is what the sign-in form shows.
type signInView struct {
	Next  string
	Error string
}

func (p *Portal) signInForm(v *visit) error {
	if v.signedIn {
		return v.goTo(localPath(v.r.URL.Query().Get("next")))
	}
	return v.paint(http.StatusOK, signInPage(v, signInView{Next: localPath(v.r.URL.Query().Get("next"))}))
}

func (p *Portal) signIn(v *visit) error {
	if err := v.parseForm(); err != nil {
		return err
	}
	form := signInView{Next: localPath(v.field("next"))}
	token := v.field("token")
	if token == "" || len(token) > maxToken {
		form.Error = v.T("signin.missing")
		return v.paint(http.StatusUnprocessableEntity, signInPage(v, form))
	}
	address := limit.Address(v.r.RemoteAddr)
	if !p.attempts.Has(address, v.now) {
		wait := p.attempts.RetryAfter(address, v.now)
		v.w.Header().Set("Retry-After", strconv.Itoa(wait))
		form.Error = v.T("signin.too-many", v.took(time.Duration(wait)*time.Second, false))
		return v.paint(http.StatusTooManyRequests, signInPage(v, form))
	}
	value, expires, _, err := p.cfg.SignIn(v.r.Context(), token)
	switch {
	case fault.Is(err, fault.KindDenied):
		p.attempts.Take(address, v.now)
		// The token is not given back: it may stand on a screen that others see.
		form.Error = v.T("signin.wrong")
		return v.paint(http.StatusForbidden, signInPage(v, form))
	case err != nil:
		return err
	}
	v.setCookie(sessionCookie, value, expires)
	return v.goTo(form.Next)
}

func (p *Portal) signOut(v *visit) error {
	v.setCookie(sessionCookie, "", time.Unix(1, 0))
	return v.goTo("/signin")
}

// parseForm reads a form's fields.
func (v *visit) parseForm() error {
	if err := v.r.ParseForm(); err != nil {
		return &fault.Error{Kind: fault.KindInvalid, Reason: "the form can't be read", Cause: err}
	}
	return nil
}

// field is what was written into a field of the form.
func (v *visit) field(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

// several are the values of a field of which there may be more than one.
func (v *visit) several(name string) []string {
	return v.r.PostForm[name] //nolint:forbidigo // the form that was sent, not the function of that name
}

func (v *visit) setCookie(name, value string, expires time.Time) {
	// Lax, not Strict: a link to a run in a mail should find its reader signed
	// in. Forms of other sites are refused by their origin.
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // Secure where there is TLS; without it no browser would send the cookie back
		Name: name, Value: value, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: overTLS(v.r),
	})
}

// overTLS reports whether the browser speaks TLS, with us or with a proxy
// before us. Whoever invents the header only keeps his own cookie from himself.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// signInPath is the sign-in form that leads on to next.
func signInPath(next string) string {
	return "/signin?" + url.Values{"next": {next}}.Encode()
}

// localPath is next if it is a path of ours, else the start page: a link to the
// sign-in form must not lead on to somebody else's site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(next, "/signin") {
		return "/servers"
	}
	return next
}
