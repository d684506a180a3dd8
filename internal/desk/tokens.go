package desk

import (
	"context"
	"fmt"
	"time"

	"upkeep/internal/fault"
	"upkeep/internal/history"
	"upkeep/internal/identity"
	"upkeep/internal/store"
)

// Token is somebody who may talk to us, without the secret.
type Token struct {
	ID      string
	Name    string
	Role    identity.Role
	Project string // empty: every project
	Created time.Time
	Expires time.Time // zero: never
}

// TokenSpec is what a caller says of a token.
type TokenSpec struct {
	Name    string
	Role    identity.Role
	Project string    // empty: every project
	Expires time.Time // zero: never
}

// CreateToken makes a token. Its secret is told this once: a repeated request
// is answered without it, for nobody knows it any more.
func (d *Desk) CreateToken(ctx context.Context, c Caller, s TokenSpec) (secret string, t Token, err error) {
	if err := c.May(identity.Admin, ""); err != nil {
		return "", t, err
	}
	made, row, err := identity.NewToken(s.Name, s.Role, s.Project, s.Expires, time.Now())
	if err != nil {
		return "", t, err
	}
	err = d.once(ctx, c, fmt.Sprintf("token %+v", s), func(tx store.Tx) (string, error) {
		if err := tx.PutToken(row); err != nil {
			return "", err
		}
		secret, t = made, tokenOf(row)
		return row.ID, tx.AddFacts(c.fact(row.Project, "", history.TokenSet, "token %s made for %s, %s", row.ID, row.Name, row.Role))
	}, func(tx store.Tx, id string) error {
		secret = ""
		t, err = findToken(tx, id)
		return err
	})
	return secret, t, err
}

// Tokens lists all.
func (d *Desk) Tokens(ctx context.Context, c Caller) (all []Token, err error) {
	if err := c.May(identity.Admin, ""); err != nil {
		return nil, err
	}
	err = d.db.View(ctx, func(tx store.Tx) error {
		rows, err := tx.Tokens()
		all = nil
		for _, row := range rows {
			all = append(all, tokenOf(row))
		}
		return err
	})
	return all, err
}

// DeleteToken ends a token at once. The last operator's stays: without it
// nobody could make another.
func (d *Desk) DeleteToken(ctx context.Context, c Caller, id string) error {
	if err := c.May(identity.Admin, ""); err != nil {
		return err
	}
	return d.once(ctx, c, "delete token "+id, func(tx store.Tx) (string, error) {
		t, err := findToken(tx, id)
		if err != nil {
			return "", err
		}
		rows, err := tx.Tokens()
		if err != nil {
			return "", err
		}
		others := 0
		for _, row := range rows {
			if row.ID != id && identity.Role(row.Role) == identity.Operator && (row.Expires.IsZero() || row.Expires.After(time.Now())) {
				others++
			}
		}
		if t.Role == identity.Operator && others == 0 {
			return "", fault.Conflict("token %s is the last operator's: make another one first", id)
		}
		if err := tx.DeleteToken(id); err != nil {
			return "", err
		}
		return id, tx.AddFacts(c.fact(t.Project, "", history.TokenSet, "token %s of %s deleted", id, t.Name))
	}, func(store.Tx, string) error { return nil })
}

func findToken(tx store.Identities, id string) (Token, error) {
	rows, err := tx.Tokens()
	for _, row := range rows {
		if row.ID == id {
			return tokenOf(row), nil
		}
	}
	if err == nil {
		err = fault.NotFound("token", id)
	}
	return Token{}, err
}

func tokenOf(t store.Token) Token {
	return Token{ID: t.ID, Name: t.Name, Role: identity.Role(t.Role), Project: t.Project, Created: t.Created, Expires: t.Expires}
}
