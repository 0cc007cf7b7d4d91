package auth

import "github.com/snoserver/sno/internal/hub"

// Mint is Mint with the first key of an app.
func (a *Authenticator) Mint(appID string, c Claims) (string, error) {
	app, err := a.table.Load().app(appID)
	if err != nil {
		return "", err
	}
	if len(app.Keys) == 0 {
		return "", hub.Errorf(hub.CodeUnauthorized, "app %q has no key to sign a token with", app.ID)
	}
	return Mint(app.Keys[0].ID, app.Keys[0].Secret, c)
}
