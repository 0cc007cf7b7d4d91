package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

const secret = "0123456789abcdef0123456789abcdef"

func loadText(t *testing.T, text string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sno.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Load(Input{File: file})
	if err != nil {
		return Config{}, err
	}
	return l.Config, nil
}

func TestDefaultIsSafeAndValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(c.Listen[0], "127.0.0.1:") || c.Origins != nil || c.Apps != nil || c.Dev || c.Store.Sync != "always" {
		t.Errorf("not safe: %+v", c)
	}
	if c.HubLimits() != hub.DefaultLimits {
		t.Errorf("limits %+v, want the hub's", c.HubLimits())
	}
	if loaded, err := loadText(t, ""); err != nil || !reflect.DeepEqual(loaded, c) {
		t.Errorf("an empty file gives %+v, %v", loaded, err)
	}
}

func TestLoad(t *testing.T) {
	c, err := loadText(t, `
listen = ":80"
data = "/var/lib/sno"
drain = 0
origins = ["https://example.com", "https://*.example.com", "http://localhost:*", "*"]
store = { sync = "interval", interval = "1s" }
[limits]
message_bytes = "2MiB"
subscriptions = 20
[presence]
grace = "1m30s"

[[app]]
id = "shop"
[[app.key]]
id = "shop-1"
secret = "`+secret+`"
[[app.rule]]
pattern = "tick:*"
store = "memory"
messages = 1
age = "30d"
bytes = 0
deliver = "latest"
presence = false
publish = "server"
public = true
[[app.rule]]
pattern = "*"
messages = 0
age = 0
bytes = "64 MiB"
publish = "subscribers"
[app.anonymous]
"news:*" = ["subscribe", "history"]
"chat" = ["publish"]

[[app]]
id = "blog"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen, want.Data, want.Drain, want.Origins = Addresses{":80"}, "/var/lib/sno", 0, []string{"https://example.com", "https://*.example.com", "http://localhost:*", "*"}
	want.Store = Store{"interval", Duration(time.Second)}
	want.Limits.MessageBytes, want.Limits.Subscriptions = 2<<20, 20
	want.Presence.Grace = Duration(90 * time.Second)
	want.Apps = c.Apps // through the words of hub and auth, below
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	wantHub := []hub.App{{ID: "shop", Rules: []hub.Rule{
		{Pattern: "tick:*", Keep: hub.Retention{Store: hub.StoreMemory, Messages: 1, Age: 30 * day}, Deliver: hub.DeliverLatest, NoPresence: true, Publish: hub.PublishByServer, Public: true},
		{Pattern: "*", Keep: hub.Retention{Bytes: 64 << 20}, Publish: hub.PublishBySubscriber},
	}}, {ID: "blog"}}
	if got := c.HubApps(); !reflect.DeepEqual(got, wantHub) {
		t.Errorf("got  %+v\nwant %+v", got, wantHub)
	}
	wantAuth := []auth.App{{ID: "shop", Public: true, Keys: []auth.Key{{ID: "shop-1", Secret: secret}}, Anonymous: []hub.Allow{
		{Pattern: "chat", Actions: hub.ActionPublish}, {Pattern: "news:*", Actions: hub.ActionSubscribe | hub.ActionHistory}}}, {ID: "blog"}}
	for i := range wantAuth {
		wantAuth[i].Origins = want.Origins
	}
	if got := c.AuthApps(); !reflect.DeepEqual(got, wantAuth) {
		t.Errorf("got  %+v\nwant %+v", got, wantAuth)
	}
}

func TestRuleDefaults(t *testing.T) {
	got := (&Rule{Pattern: "a"}).hub()
	want := hub.DefaultRule
	want.Pattern = "a"
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	app := "[[app]]\nid = \"a\"\n"
	for name, test := range map[string]struct{ text, want string }{
		"unknown key":               {"lisen = 1", `:1: lisen does not exist; did you mean "listen"?`},
		"unknown, nothing like it":  {"[presence]\nflavour = 1", `:2: presence.flavour does not exist; the keys here are grace`},
		"unknown table":             {"\n[limit]\nx = 1", `:2: limit does not exist; did you mean "limits"?`},
		"unknown in a rule":         {app + "[[app.rule]]\npattern = \"a\"\n[[app.rule]]\npattern = \"b\"\nmesages = 3", `:7: app[1].rule[2].mesages does not exist; did you mean "messages"?`},
		"unknown in the second app": {app + "[[app]]\nid = \"b\"\nkeys = 1", `:5: app[2].keys does not exist; did you mean "key"?`},
		"unknown in an inline":      {"store = {\n  sinc = 1 }", `:1: store.sinc does not exist; did you mean "sync"?`},
		"keys are case-sensitive":   {"Listen = \":1\"", `did you mean "listen"?`},
		"Dev is no key":             {"Dev = true", `:1: Dev does not exist`},
		"type: string":              {"listen = 7878", `:1: listen is 7878; it must be an address in quotes, or an array of them`},
		"type: array":               {"origins = \"*\"", `:1: origins is "*"; it must be an array such as ["a", "b"]`},
		"type: in an array":         {"origins = [1]", `:1: origins[1] is 1; it must be a string`},
		"type: table":               {"store = \"always\"", `store is "always"; it must be a table [store]`},
		"type: tables":              {"[app]\nid = \"a\"", `:1: app is a table; it must be tables [[app]]`},
		"type: number":              {"[limits]\nsubscriptions = \"many\"", `:2: limits.subscriptions is "many"; it must be a whole number`},
		"type: fraction":            {"[limits]\nsubscriptions = 1.5", `is 1.5; it must be a whole number`},
		"type: bool":                {app + "[[app.rule]]\npattern = \"*\"\npublic = \"yes\"", `:5: app[1].rule[1].public is "yes"; it must be true or false`},
		"type: actions":             {app + "[app.anonymous]\na = \"subscribe\"", `app[1].anonymous.a is "subscribe"; it must be an array`},
		"type: duration":            {"drain = 10", `:1: drain is 10; it must be a duration such as "250ms", "24h" or "30d"`},
		"type: size":                {"[limits]\nmessage_bytes = \"1MB\"", `message_bytes is "1MB"; it must be a number of bytes, or one with KiB`},
		"value: listen":             {"listen = \"localhost\"", `:1: listen is "localhost"; it must be host:port`},
		"value: port":               {"listen = \":99999\"", `it must be host:port`},
		"value: data":               {"data = \"\"", `data is empty; it must be a directory`},
		"value: one of a pair":      {"[tls]\ncert = \"c.pem\"", `:1: tls has one of cert and key`},
		"value: two certificates":   {"[tls]\ncert = \"c\"\nkey = \"k\"\nacme.domains = [\"a.example\"]", `:1: tls has cert and acme.domains`},
		"value: redirect to where":  {"[tls]\nredirect_listen = \":80\"", `:2: tls.redirect_listen sends to HTTPS, but`},
		"value: domain":             {"[tls.acme]\ndomains = [\"a.example\", \"*.example\"]", `:2: tls.acme.domains[2] is "*.example"; it must be a name`},
		"value: directory":          {"[tls.acme]\ndirectory = \"http://a\"", `:2: tls.acme.directory is "http://a"; it must be a URL`},
		"value: a proxy":            {"trusted_proxies = [\"10.0.0.0/8\", \"lb.example\"]", `:1: trusted_proxies[2] "lb.example" is no network: it must be like`},
		"value: proxies of nobody":  {"listen_proxy = \":1\"", `:1: listen_proxy is for trusted_proxies, which is empty`},
		"value: sync":               {"[store]\nsync = \"sometimes\"", `:2: store.sync is "sometimes"; it must be always, interval or never`},
		"value: no sync":            {"[store]\nsync = \"\"", `store.sync is ""; it must be always`},
		"value: too large":          {"[limits]\nmessage_bytes = \"33MiB\"", `:2: limits.message_bytes is 33MiB; it must be from 1 to 32MiB`},
		"value: too small":          {"[limits]\nchannel_bytes = 0", `limits.channel_bytes is 0; it must be from 1 to 1024`},
		"value: negative":           {app + "[[app.rule]]\npattern = \"*\"\nmessages = -1", `app[1].rule[1].messages is -1; it must be from 0 to`},
		"value: grace":              {"[presence]\ngrace = \"1h\"", `grace is 1h0m0s; it must be from 1ms to 10m`},
		"value: rule's words":       {app + "[[app.rule]]\npattern = \"*\"\ndeliver = \"newest\"", `deliver is "newest"; it must be all or latest`},
		"value: origin":             {"origins = [\"*\", \"example.com\"]", `origins[2] is "example.com"; it must be like`},
		"value: no pattern":         {app + "[[app.rule]]\nage = \"1h\"", `:3: app[1].rule[1].pattern has 0 bytes`},
		"value: action":             {app + "[app.anonymous]\n\"a.b\" = [\"read\"]", `:4: app[1].anonymous.a.b allows "read"; the actions are subscribe,`},
		"value: no app id":          {"[[app]]", `:1: app[1].id is ""; it must be 1 to 64 letters`},
		"value: app id twice":       {app + app, `:4: app[2].id is "a", which is app[1].id already`},
		"value: short secret":       {app + "[[app.key]]\nid = \"k\"\nsecret = \"hidden\"", `:5: app[1].key[1].secret has 6 characters; it must have 32 to 1024`},
		"no TOML":                   {"listen = \n", `:1: is not TOML: `},
		"no TOML, not UTF-8":        {"listen = \"\xff\"", `is not TOML: `},
		"no TOML near a secret":     {app + "[[app.key]]\nsecret = 0hidden", `:4: is not TOML: the value of secret must be a string in quotes`},
		"a number as secret":        {app + "[[app.key]]\nid = \"k\"\nsecret = 31337", `app[1].key[1].secret must be a string in quotes`},
		"a secret as key":           {app + "key = \"hidden\"", `:3: app[1].key must be tables [[app.key]]`},
		"secrets as keys":           {app + "key = [\"hidden\"]", `:3: app[1].key[1] must be a table [app.key]`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
			if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "31337") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
}

func TestLoadReportsEverythingOnce(t *testing.T) {
	_, err := loadText(t, "listen = 1\nlisen = 2\n[store]\nsync = \"a\"\ninterval = \"x\"\n[[app]]\nid = 7\n")
	p, ok := errors.AsType[*InvalidError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var paths []string
	for _, q := range p.List {
		paths = append(paths, fmt.Sprint(q.Line, " ", q.Path))
	}
	want := []string{"1 listen", "2 lisen", "4 store.sync", "5 store.interval", "7 app[1].id"}
	if !reflect.DeepEqual(paths, want) {
		t.Errorf("got %q, want %q", paths, want)
	}
}

func TestLoadOfNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(Input{File: filepath.Join(dir, "none.toml")}); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(Input{File: dir}); err == nil || !strings.Contains(err.Error(), "is not a configuration file") {
		t.Errorf("got %v", err)
	}
}

func TestOrigins(t *testing.T) {
	for origin, good := range map[string]bool{
		"*": true, "https://example.com": true, "http://localhost:3000": true, "https://*.example.com": true, "http://localhost:*": true, "http://[::1]:*": true, "https://*.example.com:*": true,
		"": false, "null": false, "example.com": false, "https://": false, "https://example.com/": false, "https://example.com/a": false, "https://*": false, "https://a*.com": false,
		"https://example.*": false, "*://example.com": false, "https://*.*.com": false, "ftp://a": false, "https://u@a": false, "https://a?": false, "https://a#": false, "https://a b": false, "http://localhost*": false,
	} {
		if validOrigin(origin) != good {
			t.Errorf("%q: %t, want %t", origin, !good, good)
		}
	}
}

// TestTags sees to it that each key has what the reference page and the checks need.
func TestTags(t *testing.T) {
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			name := f.Tag.Get("toml")
			if name == "-" {
				continue
			}
			if name == "" || f.Tag.Get("doc") == "" || (f.Tag.Get("min") == "") != (f.Tag.Get("max") == "") {
				t.Errorf("%s.%s lacks a tag: %s", s.Name(), f.Name, f.Tag)
			}
			inner := f.Type
			for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			switch inner.Kind() {
			case reflect.Struct:
				walk(inner)
			case reflect.Int, reflect.Int64:
				if low, high := number(f.Tag.Get("min"), inner), number(f.Tag.Get("max"), inner); low >= high {
					t.Errorf("%s.%s: min %d, max %d", s.Name(), f.Name, low, high)
				}
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	for field, words := range map[string][]string{"Store": keys(stores), "Deliver": keys(delivers), "Publish": keys(publishers)} {
		f, _ := reflect.TypeFor[Rule]().FieldByName(field)
		for _, w := range strings.Split(f.Tag.Get("values"), "|") {
			if !strings.Contains(strings.Join(words, " "), w) || len(words) != len(strings.Split(f.Tag.Get("values"), "|"))+1 {
				t.Errorf("Rule.%s: the tag has %s, the table %q", field, f.Tag.Get("values"), words)
			}
		}
	}
}

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// TestReference sees to it that the page says what the struct says. "go test ./internal/config -update" writes it.
func TestReference(t *testing.T) {
	const file = "../../docs/configuration.md"
	page, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != page {
		t.Errorf("docs/configuration.md is not what the settings say (%v); write it with: go test ./internal/config -update", err)
	}
	for _, s := range Settings() {
		if _, key, _ := strings.Cut("."+s.Name(), "."); !strings.Contains(page, "| `"+key[strings.LastIndex(key, ".")+1:]+"` |") {
			t.Errorf("the page lacks %s", s.Name())
		}
	}
}

func keys[V any](m map[string]V) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

func TestPrintingShowsNoSecret(t *testing.T) {
	c := Dev("data", secret)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", c, "secret", c.Apps[0].Keys[0].Secret)
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", c, &c, c), fmt.Sprintf("%s %q %x", c.Apps[0].Keys[0].Secret, c.Apps[0].Keys, c.Apps[0].Keys), log.String(), string(j)} {
		if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret)) || !strings.Contains(s, "(secret)") {
			t.Errorf("printed as %s", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("listen = \":1\"\n[[app]]\nid = \"a\"\n[[app.rule]]\npattern = \"*\"\nage = \"1d\"\n")
	f.Add("[[app]]\n[[app.key]]\n[app.anonymous]\n\"\" = [1]\n")
	f.Add("[[app]]\nid = \"a\"\n[[app.issuer]]\nissuer = \"i\"\nalg = \"RS256\"\njwks_url = \"https://i/\"\n[app.issuer.channels]\n\"{user}\" = []\n")
	f.Add("app = [{id = 1, rule = [{}]}]\nstore.sync = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := load(Input{File: "sno.toml"}, text)
		if err != nil {
			if p, ok := errors.AsType[*InvalidError](err); !ok || len(p.List) == 0 || len(p.Error()) == 0 {
				t.Fatalf("got %v", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("Load took what Validate refuses: %v", err)
		}
		if _, err := auth.New(c.AuthApps()); err != nil {
			t.Fatalf("auth refuses what Validate took: %v", err)
		}
	})
}
