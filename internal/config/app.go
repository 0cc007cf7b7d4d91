package config

import (
	"maps"
	"slices"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

// App is a tenant.
type App struct {
	ID        string              `toml:"id" doc:"1 to 64 letters, digits, '_', '-' and '.'."`
	Keys      []Key               `toml:"key" doc:"Keys of backends, which also sign the tokens of clients. Several at once let you change them without a pause."`
	Rules     []Rule              `toml:"rule" doc:"How channels behave. The first rule that matches a channel counts; where none does, the defaults of a rule do."`
	Anonymous map[string][]string `toml:"anonymous" doc:"What clients without a credential may do: channel pattern = actions. The actions are subscribe, publish, presence, history, admin."`
}

// Key is an app key.
type Key struct {
	ID     string `toml:"id" doc:"1 to 64 letters, digits, '_', '-' and '.', unique over all apps. It stands in tokens (kid) and is no secret."`
	Secret Secret `toml:"secret" doc:"32 to 1024 characters, for example from: openssl rand -base64 32"`
	// SecretFile is read by Load, into Secret.
	SecretFile string `toml:"secret_file" doc:"A file with the secret, instead of secret: for secrets that an orchestrator mounts."`
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
	maxPattern     = 1024
)

func checkApps(p *InvalidError, apps []App) {
	appIDs, keyIDs := map[string]path{}, map[string]path{}
	for i, app := range apps {
		at := path("app").element(i)
		checkID(p, at.key("id"), app.ID, appIDs)
		for j, key := range app.Keys {
			at := at.key("key").element(j)
			checkID(p, at.key("id"), key.ID, keyIDs)
			if n := len(key.Secret); n < minSecretBytes || n > maxSecretBytes {
				p.add(at.key("secret"), "has %d characters; it must have %d to %d, for example from: openssl rand -base64 32", n, minSecretBytes, maxSecretBytes)
			}
		}
		for j, rule := range app.Rules {
			checkPattern(p, at.key("rule").element(j).key("pattern"), rule.Pattern)
		}
		checkAnonymous(p, at.key("anonymous"), app.Anonymous)
	}
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

func checkAnonymous(p *InvalidError, at path, allowed map[string][]string) {
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
		apps[i] = auth.App{ID: app.ID, Public: slices.ContainsFunc(app.Rules, func(r Rule) bool { return r.Public })}
		for _, key := range app.Keys {
			apps[i].Keys = append(apps[i].Keys, auth.Key{ID: key.ID, Secret: string(key.Secret)})
		}
		for _, pattern := range slices.Sorted(maps.Keys(app.Anonymous)) {
			apps[i].Anonymous = append(apps[i].Anonymous, hub.Allow{Pattern: pattern, Actions: actions(app.Anonymous[pattern])})
		}
	}
	return apps
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
