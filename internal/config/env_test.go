package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOneSettingHasThreeNames(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Settings() {
		if seen[s.Env()] || !strings.HasPrefix(s.Env(), "SNO_") {
			t.Errorf("%s is %s in the environment, and so is another, or a tool's", s.Name(), s.Env())
		}
		seen[s.Env()] = true
	}
	for _, tools := range append(toolVariables, EnvFile, envApp, envKey, envSecret) {
		if seen[tools] {
			t.Errorf("%s has two meanings", tools)
		}
	}
}

// TestEverySettingFromText sees to it that what is shown as a default can be said in a variable, too.
func TestEverySettingFromText(t *testing.T) {
	var env []string
	for _, s := range Settings() {
		env = append(env, s.Env()+"="+s.Default())
	}
	l, err := Load(Input{Env: env})
	if err != nil || !reflect.DeepEqual(l.Config, Default()) {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestWhatGoesBeforeWhat(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sno.toml")
	write(t, file, "data = \"file\"\ndrain = \"1s\"\n[store]\nsync = \"never\"\n")
	l, err := Load(Input{
		File:  file,
		Env:   []string{"SNO_DRAIN=2s", "SNO_STORE_SYNC=interval", "SNO_LISTEN=:1, :2", "SNO_ORIGINS=", "SNO_LIMITS_MEMBERS=7", "HOME=/root"},
		Flags: map[string]string{"store.sync": "always", "origins": "https://a.example,*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data, want.Drain, want.Store.Sync, want.Limits.Members = "file", Duration(2*time.Second), "always", 7
	want.Listen, want.Origins = Addresses{":1", ":2"}, []string{"https://a.example", "*"}
	if !reflect.DeepEqual(l.Config, want) {
		t.Errorf("got  %+v\nwant %+v", l.Config, want)
	}
	var out strings.Builder
	if err := l.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`listen = [":1", ":2"] # SNO_LISTEN`, `data = "file" # ` + file + ":1", `drain = "2s" # SNO_DRAIN`, `sync = "always" # --store.sync`, `interval = "200ms" # default`,
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("the output lacks %s:\n%s", line, out.String())
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAppOfTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, "  "+secret+"\n")
	for _, env := range [][]string{{"SNO_KEY=k", "SNO_SECRET=" + secret}, {"SNO_KEY=k", "SNO_SECRET_FILE=" + file, "SNO_APP=main"}} {
		l, err := Load(Input{Env: env})
		if want := []App{{ID: "main", Keys: []Key{{ID: "k", Secret: secret}}}}; err != nil || !reflect.DeepEqual(l.Apps, want) {
			t.Errorf("%q: %v, %v", env, l, err)
		}
	}
	l, err := load(Input{Env: []string{"SNO_KEY=k", "SNO_SECRET=of a tool"}}, "[[app]]\nid = \"shop\"\n")
	if err != nil || len(l.Apps) != 1 || l.Apps[0].ID != "shop" || len(l.Unused) != 1 {
		t.Errorf("a file with apps: %+v, %v", l, err)
	}
}

func TestSecretFileOfAKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, secret+"\n")
	text := "[[app]]\nid = \"a\"\n[[app.key]]\nid = \"k\"\nsecret_file = "
	l, err := load(Input{}, text+quote(file))
	if err != nil || l.Apps[0].Keys[0].Secret != secret {
		t.Errorf("got %v, %v", l, err)
	}
	_, err = load(Input{File: "sno.toml"}, text+quote(file+"x"))
	if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.HasPrefix(err.Error(), "sno.toml:5: app[1].key[1].secret_file is ") {
		t.Errorf("got %v", err)
	}
	if _, err = load(Input{}, text+quote(file)+"\nsecret = \""+secret+"\"\n"); err == nil || !strings.Contains(err.Error(), "one of the two") {
		t.Errorf("got %v", err)
	}
}

func TestEnvironmentSaysWhatIsWrong(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "\n")
	for env, want := range map[string]string{
		"SNO_STORE_SINC=never":             "SNO_STORE_SINC does not exist; did you mean SNO_STORE_SYNC?",
		"SNO_WHATEVER_THIS_IS=1":           "SNO_WHATEVER_THIS_IS does not exist; ",
		"SNO_STORE_SYNC=sometimes":         `SNO_STORE_SYNC is "sometimes"; it must be always, interval or never`,
		"SNO_DRAIN=10":                     `SNO_DRAIN is "10"; it must be a duration`,
		"SNO_LIMITS_MEMBERS=x":             `SNO_LIMITS_MEMBERS is "x"; it must be a whole number`,
		"SNO_LIMITS_MEMBERS=0":             `SNO_LIMITS_MEMBERS is 0; it must be from 1 to 1000000`,
		"SNO_ORIGINS=*,example.com":        `SNO_ORIGINS is "example.com"; it must be like`,
		"SNO_LISTEN=7878":                  `SNO_LISTEN is "7878"; it must be host:port`,
		"SNO_KEY=k":                        `SNO_SECRET has 0 characters; it must have 32 to 1024`,
		"SNO_KEY=k SNO_SECRET=hidden":      `SNO_SECRET has 6 characters; it must have 32 to 1024`,
		"SNO_KEY=a:b SNO_SECRET=" + secret: `SNO_KEY is "a:b"; it must be 1 to 64 letters`,
		"SNO_APP=a":                        `SNO_KEY is ""; it must be 1 to 64 letters`,
		"SNO_KEY=k SNO_SECRET_FILE=" + empty + " SNO_SECRET=hidden": "SNO_SECRET_FILE is set, and so is SNO_SECRET",
		"SNO_KEY=k SNO_SECRET_FILE=" + empty:                        "SNO_SECRET_FILE is \"" + empty + `", which is empty`,
		"SNO_KEY=k SNO_SECRET_FILE=/no/where":                       `SNO_SECRET_FILE is "/no/where", which cannot be read`,
	} {
		_, err := Load(Input{Env: strings.Fields(env)})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v, want %s", env, err, want)
		}
	}
	if _, err := Load(Input{Flags: map[string]string{"drain": ""}}); err == nil || !strings.HasPrefix(err.Error(), `--drain is ""; it must be`) {
		t.Errorf("an empty flag: %v", err)
	}
}

// TestServiceCalledSno is about the variables that Kubernetes gives every pod beside a service of this name.
func TestServiceCalledSno(t *testing.T) {
	env := []string{"SNO_SERVICE_HOST=10.0.0.1", "SNO_SERVICE_PORT=80", "SNO_SERVICE_PORT_HTTP=80", "SNO_PORT=tcp://10.0.0.1:80", "SNO_PORT_80_TCP=x", "SNO_PORT_80_TCP_ADDR=x", "SNO_URL=x", "SNO_TOKEN=x", "SNO_CONFIG=x"}
	if _, err := Load(Input{Env: env}); err != nil {
		t.Error(err)
	}
}

// TestPrintReadsBack sees to it that what is printed is the configuration, but for the secrets.
func TestPrintReadsBack(t *testing.T) {
	text := "listen = [\":1\", \":2\"]\norigins = [\"*\"]\n[limits]\nmessage_bytes = \"64KiB\"\n[[app]]\nid = \"a\"\n[[app.key]]\nid = \"k\"\nsecret = \"" + secret +
		"\"\n[[app.rule]]\npattern = \"a \\\" \\\\ \\u0001 ❄ *\"\nage = 0\npresence = false\n[[app.rule]]\npattern = \"*\"\nbytes = 17\n[app.anonymous]\n\"x.y ❄\" = [\"publish\"]\nplain = [\"history\"]\n[[app]]\nid = \"b\"\n"
	l, err := load(Input{File: "sno.toml"}, text)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := l.Print(&out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), secret) {
		t.Fatalf("shows a secret:\n%s", out.String())
	}
	again, err := load(Input{File: "sno.toml"}, strings.ReplaceAll(out.String(), "(secret)", secret))
	if err != nil || !reflect.DeepEqual(again.Config, l.Config) {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestRuleDefaultsAreTheHubs(t *testing.T) {
	r := ruleDefaults()
	if got, want := r.hub(), (&Rule{}).hub(); got != want || r.Store == "" || r.Deliver == "" || r.Publish == "" {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRestart(t *testing.T) {
	from, to := Default(), Default()
	to.Listen, to.Limits.Members, to.Store.Sync, to.Origins = Addresses{":1"}, 3, "never", []string{"*"}
	if got := Restart(&from, &to); !reflect.DeepEqual(got, []string{"listen", "store.sync"}) {
		t.Errorf("got %q", got)
	}
	if got := Restart(&from, &from); got != nil {
		t.Errorf("of no change: %q", got)
	}
}
