package api

import (
	"context"
	"time"

	"upkeep/internal/desk"
	"upkeep/internal/identity"
)

// Token is a secret by which a person or program is known, without the secret.
type Token struct {
	ID      string    `json:"id" doc:"Given by Upkeep." example:"tok-3f9c2b7a10d4e856"`
	Name    string    `json:"name" doc:"Who it is; the history shows it." example:"alice"`
	Role    Role      `json:"role" doc:"What it may do."`
	Project string    `json:"project,omitempty" doc:"The only project that it may touch; missing: every one." example:"default"`
	Created time.Time `json:"created" doc:"When it was made."`
	Expires time.Time `json:"expires,omitzero" doc:"When it ends; missing: never."`
}

// NewToken is a token with its secret.
type NewToken struct {
	Token
	Secret string `json:"secret,omitempty" doc:"What is sent as bearer token. It is shown this once: a repeated request is answered without it."`
}

// TokenList is all tokens.
type TokenList struct {
	Items []Token `json:"items" doc:"The tokens, oldest first."`
}

// TokenInput is what a caller says of a token.
type TokenInput struct {
	Name    string    `json:"name" maxLength:"63" doc:"Who it is; the history shows it." example:"alice"`
	Role    Role      `json:"role" doc:"What it may do."`
	Project string    `json:"project,omitempty" maxLength:"63" doc:"The only project that it may touch; every one if left out. An operator's is for every project." example:"default"`
	Expires time.Time `json:"expires,omitzero" doc:"When it ends; never if left out." example:"2027-01-01T00:00:00Z"`
}

type (
	listTokensOut struct{ Body TokenList }
	createTokenIn struct {
		Keyed
		Body TokenInput
	}
	createTokenOut struct{ Body NewToken }
	deleteTokenIn  struct {
		ID string `path:"token" maxLength:"63" doc:"The token's id." example:"tok-3f9c2b7a10d4e856"`
		Keyed
	}
)

func (d *door) tokens() {
	register(d, op{
		id: "listTokens", call: "GET /v1/tokens", scope: identity.Admin, tag: "access",
		summary: "List tokens", description: "Lists all tokens, without their secrets: those are kept as hashes only.",
	}, d.listTokens)
	register(d, op{
		id: "createToken", call: "POST /v1/tokens", scope: identity.Admin, tag: "access", creates: true,
		summary: "Create a token", description: "Makes a token. Its secret is shown this once.",
	}, d.createToken)
	register(d, op{
		id: "deleteToken", call: "DELETE /v1/tokens/{token}", scope: identity.Admin, tag: "access",
		summary: "Delete a token", description: "Ends a token at once. The last operator's token can't be deleted.",
	}, d.deleteToken)
}

func (d *door) listTokens(ctx context.Context, c desk.Caller, _ *nothing) (*listTokensOut, error) {
	all, err := d.desk.Tokens(ctx, c)
	if err != nil {
		return nil, err
	}
	return &listTokensOut{TokenList{list(all, tokenOf)}}, nil
}

func (d *door) createToken(ctx context.Context, c desk.Caller, in *createTokenIn) (*createTokenOut, error) {
	b := in.Body
	secret, t, err := d.desk.CreateToken(ctx, c, desk.TokenSpec{Name: b.Name, Role: identity.Role(b.Role), Project: b.Project, Expires: b.Expires})
	if err != nil {
		return nil, err
	}
	return &createTokenOut{NewToken{Token: tokenOf(t), Secret: secret}}, nil
}

func (d *door) deleteToken(ctx context.Context, c desk.Caller, in *deleteTokenIn) (*done, error) {
	return nil, d.desk.DeleteToken(ctx, c, in.ID)
}

func tokenOf(t desk.Token) Token {
	return Token{ID: t.ID, Name: t.Name, Role: Role(t.Role), Project: t.Project, Created: t.Created.UTC(), Expires: t.Expires.UTC()}
}
