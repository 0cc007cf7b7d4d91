package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

// App is a tenant.
type App struct {
	ID           string              `toml:"id" doc:"1 to 64 letters, digits, '_', '-' and '.'."`
	Keys         []Key               `toml:"key" doc:"Keys of backends, which also sign the tokens of clients. Several at once let you change them without a pause."`
	Issuers      []Issuer            `toml:"issuer" doc:"Who else signs tokens for clients, by a private key of their own: an identity provider."`
	Rules        []Rule              `toml:"rule" doc:"How channels behave. The first rule that matches a channel counts; where none does, the defaults of a rule do."`
	Anonymous    map[string][]string `toml:"anonymous" doc:"What clients without a credential may do: channel pattern = actions. The actions are subscribe, publish, presence, history, admin."`
	ConnectURL   string              `toml:"connect_url" doc:"A URL of your backend that is asked who a client is that shows cookies and no token."`
	SubscribeURL string              `toml:"subscribe_url" doc:"A URL of your backend that is asked when a client wants to follow a channel that its token does not allow."`
	HookHeaders  []string            `toml:"hook_headers" doc:"Headers of the client's request that go along to connect_url, beside Cookie."`
	// HookTimeout is auth.DefaultHookTimeout unless set.
	HookTimeout *Duration `toml:"hook_timeout" min:"100ms" max:"30s" doc:"How long your backend may take to answer either; \"3s\" unless set."`
	Webhooks    []Webhook `toml:"webhook" doc:"Where your backend is told of what happens on the channels."`
	// WebhookBytes is outbox.DefaultBytes unless set.
	WebhookBytes *Size `toml:"webhook_bytes" min:"32MiB" max:"1TiB" doc:"How many bytes of events are kept for webhooks that do not take them; \"256MiB\" unless set. The oldest go first."`
	// TokenGrace is auth.DefaultGrace unless set.
	TokenGrace *Duration `toml:"token_grace" min:"5s" max:"10m" doc:"How long a session outlives its token, so that its client can bring a fresh one; \"10s\" unless set."`
	Pusher     Pusher    `toml:"pusher" doc:"Whether clients and libraries made for Pusher may use the app, and how."`
}

// Key is an app key.
type Key struct {
	ID     string `toml:"id" doc:"1 to 64 letters, digits, '_', '-' and '.', unique over all apps. It stands in tokens (kid) and is no secret."`
	Secret Secret `toml:"secret" doc:"32 to 1024 characters, for example from: openssl rand -base64 32"`
	// SecretFile and PreviousFile are read by Load, into Secret and Previous.
	SecretFile   string `toml:"secret_file" doc:"A file with the secret, instead of secret: for secrets that an orchestrator mounts."`
	Previous     Secret `toml:"previous_secret" doc:"The secret before, which counts beside the new one until you take it out: so a secret is changed without a pause."`
	PreviousFile string `toml:"previous_secret_file" doc:"A file with it, instead of previous_secret."`
}

// Pusher is about an app's clients and backends that speak Pusher's protocol.
type Pusher struct {
	Enabled      bool `toml:"enabled" doc:"Whether they may connect, with a key of the app and its secret. Then who knows the id of a key can follow every channel whose name does not begin with \"private-\" or \"presence-\", as with Pusher."`
	ClientEvents bool `toml:"client_events" doc:"Whether clients may send events to each other, on channels that begin with \"private-\" or \"presence-\"."`
	// ClientEventRate is pusher.DefaultClientEventRate unless set.
	ClientEventRate       *int `toml:"client_event_rate" min:"1" max:"10000" doc:"Client events that one connection may send in a second; 10 unless set."`
	SubscriptionCount     bool `toml:"subscription_count" doc:"Whether clients are told how many follow their channels."`
	AuthorizedConnections bool `toml:"authorized_connections" doc:"Whether a connection ends that has neither signed in nor subscribed to a private or presence channel within 30 seconds."`
	StrictLimits          bool `toml:"strict_limits" doc:"Whether Pusher's own limits hold instead of this server's: 10 KiB of data, 10 events a batch, 100 members a channel, 164 characters a name."`
}

// Issuer signs tokens for an app's clients with keys of its own.
type Issuer struct {
	Name          string              `toml:"issuer" doc:"The iss of its tokens, letter by letter."`
	Audience      string              `toml:"audience" doc:"Must be among the aud of its tokens. Empty: any, also none; then anybody whom the issuer knows is a client of this app."`
	Alg           string              `toml:"alg" values:"RS256|ES256|EdDSA" doc:"How its tokens are signed. Nothing else is taken, whatever a token says."`
	JWKSURL       string              `toml:"jwks_url" doc:"Where its public keys are, as a JSON Web Key Set: an https URL, fetched again every 10 minutes and when a token names a new key."`
	PublicKey     string              `toml:"public_key" doc:"Instead of jwks_url: its public keys themselves, one or more, in PEM."`
	PublicKeyFile string              `toml:"public_key_file" doc:"A file with them, instead of public_key."`
	UserClaim     string              `toml:"user_claim" doc:"The claim that is the user's id; sub unless set."`
	Channels      map[string][]string `toml:"channels" doc:"What its tokens allow that have no channels of their own: channel pattern = actions. In a pattern {user} is the user's id."`
}

// Rule says how the channels that match a pattern behave. A nil or empty field has the value of hub.DefaultRule; a bound of 0 is no bound.
type Rule struct {
	Pattern  string    `toml:"pattern" doc:"Which channels: '*' stands for any run of characters, everything else for itself."`
	Store    string    `toml:"store" values:"disk|memory|none" doc:"Where messages are kept. memory: until the server stops; none: nowhere, who is not there misses them."`
	Messages *int      `toml:"messages" min:"0" max:"1000000000" doc:"Keep at most so many messages; 0: no bound."`
	Age      *Duration `toml:"age" min:"0s" max:"36500d" doc:"Keep messages for so long, such as \"24h\" or \"30d\"; 0: no bound."`
	Bytes    *Size     `toml:"bytes" min:"0" max:"1024TiB" doc:"Keep at most so much, such as \"64MiB\", but always the newest message; 0: no bound."`
	Deliver  string    `toml:"deliver" values:"all|latest" doc:"latest: a client that is behind jumps to the newest message, for tickers."`
	Presence *bool     `toml:"presence" doc:"Whether members can enter the channel and be seen there."`
	Publish  string    `toml:"publish" values:"grant|server|subscribers" doc:"Who may publish. grant: whose token allows it; server: app keys only, whatever a token says; subscribers: also who may subscribe."`
	Public   bool      `toml:"public" doc:"Anybody may subscribe and read the history, without a credential."`
}

// Bounds of what the tags do not say.
const (
	minSecretBytes = 32 // RFC 7518 §3.2: a key as long as the hash, or longer
	maxSecretBytes = 1024
	// minPusherSecretBytes is how long the secrets are that Pusher and Reverb give out. Who moves keeps them.
	minPusherSecretBytes = 20
	maxPattern           = 1024
)

func checkApps(p *InvalidError, apps []App) {
	appIDs, keyIDs, issuers := map[string]path{}, map[string]path{}, map[string]path{}
	for i, app := range apps {
		at := path("app").element(i)
		checkID(p, at.key("id"), app.ID, appIDs)
		for j, key := range app.Keys {
			checkKey(p, at.key("key").element(j), key, keyIDs, app.leastSecret())
		}
		for j := range app.Issuers {
			checkIssuer(p, at.key("issuer").element(j), &app.Issuers[j], issuers)
		}
		for j, rule := range app.Rules {
			checkPattern(p, at.key("rule").element(j).key("pattern"), rule.Pattern)
		}
		checkHooks(p, at, &app)
		checkWebhooks(p, at, &app)
		checkActions(p, at.key("anonymous"), app.Anonymous)
		for pattern := range app.Anonymous {
			if strings.Contains(pattern, auth.UserPlaceholder) {
				p.add(at.key("anonymous").key(pattern), "has %s, but anonymous clients have no user id", auth.UserPlaceholder)
			}
		}
	}
}

func checkHooks(p *InvalidError, at path, app *App) {
	for name, s := range map[string]string{"connect_url": app.ConnectURL, "subscribe_url": app.SubscribeURL} {
		if err := auth.CheckHookURL(s); s != "" && err != nil {
			p.add(at.key(name), "%s", err)
		}
	}
	for i, name := range app.HookHeaders {
		if !headerName.MatchString(name) {
			p.add(at.key("hook_headers").element(i), "is %q; it must be the name of a header", name)
		}
	}
}

// headerName is a token (RFC 9110 §5.1).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// leastSecret is how long a secret of the app must be.
func (a *App) leastSecret() int {
	if a.Pusher.Enabled {
		return minPusherSecretBytes
	}
	return minSecretBytes
}

func checkKey(p *InvalidError, at path, key Key, ids map[string]path, least int) {
	checkID(p, at.key("id"), key.ID, ids)
	checkSecret(p, at.key("secret"), key.Secret, least)
	if key.Previous == "" {
		return
	}
	checkSecret(p, at.key("previous_secret"), key.Previous, least)
	if key.Previous == key.Secret {
		p.add(at.key("previous_secret"), "is the same as secret; take it out")
	}
}

func checkSecret(p *InvalidError, at path, s Secret, least int) {
	if n := len(s); n < least || n > maxSecretBytes {
		p.add(at, "has %d characters; it must have %d to %d, for example from: openssl rand -base64 32", n, least, maxSecretBytes)
	}
}

func checkIssuer(p *InvalidError, at path, i *Issuer, used map[string]path) {
	converted := i.auth()
	if err := converted.Check(); err != nil {
		p.add(at, "cannot be used: %s", err)
	}
	checkActions(p, at.key("channels"), i.Channels)
	for other, first := range used {
		name, audience, _ := strings.Cut(other, "\x00")
		if name == i.Name && (audience == i.Audience || audience == "" || i.Audience == "") {
			p.add(at, "has the same issuer as %s; several of one need an audience each, and no two the same", first)
		}
	}
	used[i.Name+"\x00"+i.Audience] = at
}

func checkID(p *InvalidError, at path, id string, used map[string]path) {
	if auth.CheckID(id) != nil {
		p.add(at, "is %q; it must be 1 to %d letters, digits, '_', '-' and '.'", id, auth.MaxIDBytes)
		return
	}
	if first, twice := used[id]; twice {
		p.add(at, "is %q, which is %s already", id, first)
	}
	used[id] = at
}

func checkPattern(p *InvalidError, at path, pattern string) {
	if pattern == "" || len(pattern) > maxPattern {
		p.add(at, "has %d bytes; it must have 1 to %d, \"*\" is every channel", len(pattern), maxPattern)
	}
}

func checkActions(p *InvalidError, at path, allowed map[string][]string) {
	for pattern, actions := range allowed {
		at := at.key(pattern)
		checkPattern(p, at, pattern)
		for _, name := range actions {
			if _, ok := hub.ParseAction(name); !ok {
				p.add(at, "allows %q; the actions are %s", name, hub.AllActions)
			}
		}
	}
}

// AuthApps returns the apps as auth knows them: with keys, without rules.
func (c *Config) AuthApps() []auth.App {
	apps := make([]auth.App, len(c.Apps))
	for i, app := range c.Apps {
		apps[i] = auth.App{
			ID: app.ID, Anonymous: allowed(app.Anonymous), Origins: c.Origins, Hooks: app.hooks(), Public: slices.ContainsFunc(app.Rules, func(r Rule) bool { return r.Public }),
		}
		for _, key := range app.Keys {
			apps[i].Keys = append(apps[i].Keys, auth.Key{ID: key.ID, Secret: string(key.Secret), Previous: string(key.Previous)})
		}
		for j := range app.Issuers {
			apps[i].Issuers = append(apps[i].Issuers, app.Issuers[j].auth())
		}
		if app.TokenGrace != nil {
			apps[i].Grace = app.TokenGrace.Duration()
		}
	}
	return apps
}

func (a *App) hooks() auth.Hooks {
	h := auth.Hooks{Connect: a.ConnectURL, Subscribe: a.SubscribeURL, Headers: a.HookHeaders}
	if a.HookTimeout != nil {
		h.Timeout = a.HookTimeout.Duration()
	}
	return h
}

func (i *Issuer) auth() auth.Issuer {
	return auth.Issuer{
		Name: i.Name, Audience: i.Audience, Alg: i.Alg, JWKS: i.JWKSURL, PublicKeys: i.PublicKey, UserClaim: i.UserClaim, Allow: allowed(i.Channels),
	}
}

func allowed(channels map[string][]string) (allow []hub.Allow) {
	for _, pattern := range slices.Sorted(maps.Keys(channels)) {
		allow = append(allow, hub.Allow{Pattern: pattern, Actions: actions(channels[pattern])})
	}
	return allow
}

// actions reads names that Validate has seen.
func actions(names []string) hub.Action {
	var all hub.Action
	for _, name := range names {
		a, _ := hub.ParseAction(name)
		all |= a
	}
	return all
}

// readFiles reads what stands in files of its own: secrets and public keys.
func readFiles(p *InvalidError, apps []App) {
	for i := range apps {
		app, at := &apps[i], path("app").element(i)
		for j := range app.Keys {
			key, at := &app.Keys[j], at.key("key").element(j)
			readFile(p, at, "secret", &key.Secret, key.SecretFile)
			readFile(p, at, "previous_secret", &key.Previous, key.PreviousFile)
		}
		for j := range app.Webhooks {
			w, at := &app.Webhooks[j], at.key("webhook").element(j)
			readFile(p, at, "secret", &w.Secret, w.SecretFile)
			readFile(p, at, "previous_secret", &w.Previous, w.PreviousFile)
		}
		for j := range app.Issuers {
			issuer := &app.Issuers[j]
			readFile(p, at.key("issuer").element(j), "public_key", &issuer.PublicKey, issuer.PublicKeyFile)
		}
	}
}

// readFile reads into the value of a key what the file of its key with "_file" says, if there is one.
func readFile[T ~string](p *InvalidError, table path, name string, value *T, file string) {
	at := table.key(name + "_file")
	if file == "" {
		return
	}
	if *value != "" {
		p.add(at, "stands beside %s; give one of the two", name)
		return
	}
	text, err := ReadSecret(file)
	if err != nil {
		p.add(at, "%s", err)
	}
	*value = T(text)
}
