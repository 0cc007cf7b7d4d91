package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

// ed25519Key is a public key from: openssl genpkey -algorithm ed25519 | openssl pkey -pubout
const ed25519Key = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`

func TestLoadWhoMayConnect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "idp.pem")
	if err := os.WriteFile(file, []byte(ed25519Key), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadText(t, `
origins = ["https://shop.example"]
[[app]]
id = "shop"
token_grace = "1m"
connect_url = "http://backend:3000/sno/connect"
subscribe_url = "https://shop.example/sno/subscribe"
hook_headers = ["X-Tenant"]
hook_timeout = "1s"
[[app.key]]
id = "shop-1"
secret = "`+secret+`"
previous_secret = "`+secret+`-old"
[[app.issuer]]
issuer = "https://idp.example/"
audience = "shop"
alg = "RS256"
jwks_url = "https://idp.example/keys"
user_claim = "uid"
[app.issuer.channels]
"user:{user}" = ["subscribe"]
[[app.issuer]]
issuer = "us"
alg = "EdDSA"
public_key_file = "`+file+`"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []auth.App{{
		ID: "shop", Grace: time.Minute, Origins: []string{"https://shop.example"},
		Hooks: auth.Hooks{Connect: "http://backend:3000/sno/connect", Subscribe: "https://shop.example/sno/subscribe", Headers: []string{"X-Tenant"}, Timeout: time.Second},
		Keys:  []auth.Key{{ID: "shop-1", Secret: secret, Previous: secret + "-old"}},
		Issuers: []auth.Issuer{
			{Name: "https://idp.example/", Audience: "shop", Alg: "RS256", JWKS: "https://idp.example/keys", UserClaim: "uid", Allow: []hub.Allow{{Pattern: "user:{user}", Actions: hub.ActionSubscribe}}},
			{Name: "us", Alg: "EdDSA", PublicKeys: strings.TrimSpace(ed25519Key)},
		},
	}}
	if got := c.AuthApps(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if _, err := auth.New(c.AuthApps()); err != nil {
		t.Error(err)
	}
}

func TestLoadSaysWhatIsWrongWithApps(t *testing.T) {
	const app, issuer = "[[app]]\nid = \"a\"\n", "[[app.issuer]]\nissuer = \"i\"\nalg = \"EdDSA\"\n"
	key := app + "[[app.key]]\nid = \"k\"\nsecret = \"" + secret + "\"\n"
	const fetched = issuer + "jwks_url = \"https://i.example/keys\"\n"
	for name, test := range map[string]struct{ text, want string }{
		"short previous":         {key + "previous_secret = \"hidden\"", `:6: app[1].key[1].previous_secret has 6 characters; it must have 32`},
		"the same twice":         {key + "previous_secret = \"" + secret + "\"", `previous_secret is the same as secret`},
		"previous twice":         {key + "previous_secret = \"" + secret + "1\"\nprevious_secret_file = \"/hidden\"", `previous_secret_file stands beside previous_secret`},
		"no file":                {app + issuer + "public_key_file = \"/nowhere/at/all\"", `public_key_file is`},
		"no keys":                {app + issuer, `:3: app[1].issuer[1] cannot be used: issuer "i" needs either a public key or the URL`},
		"no issuer":              {app + "[[app.issuer]]\nalg = \"RS256\"", `an issuer has no name`},
		"alg of secrets":         {app + "[[app.issuer]]\nissuer = \"i\"\nalg = \"HS256\"", `alg is "HS256"; it must be RS256, ES256 or EdDSA`},
		"no alg":                 {app + "[[app.issuer]]\nissuer = \"i\"\njwks_url = \"https://i.example/\"", `alg ""`},
		"plain http":             {app + issuer + "jwks_url = \"http://i.example/\"", `must be an https URL`},
		"action":                 {app + fetched + "[app.issuer.channels]\nx = [\"read\"]", `issuer[1].channels.x allows "read"`},
		"issuer of two apps":     {app + fetched + "[[app]]\nid = \"b\"\n" + fetched, `:9: app[2].issuer[1] has the same issuer as app[1].issuer[1]; several of one need an audience`},
		"user of nobody":         {app + "[app.anonymous]\n\"u:{user}\" = [\"subscribe\"]", `anonymous.u:{user} has {user}, but anonymous clients have no user id`},
		"hook nowhere":           {app + "connect_url = \"backend\"", `:3: app[1].connect_url is at "backend"; it must be an http`},
		"hook with a password":   {app + "subscribe_url = \"https://u:hidden@b.example\"", `without a password`},
		"no header":              {app + "hook_headers = [\"X-A\", \"a b\"]", `hook_headers[2] is "a b"; it must be the name of a header`},
		"grace shorter than now": {app + "token_grace = \"1s\"", `token_grace is 1s; it must be from 5s to 10m`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
			if strings.Contains(err.Error(), "hidden\"") || strings.Contains(err.Error(), "hidden@") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
}
