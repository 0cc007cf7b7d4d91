package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/outbox"
)

// Two secrets of webhooks, and what they are.
const (
	newSecret, oldSecret         = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "whsec_YWJjZGVmMDEyMzQ1Njc4OTAxMjM0NTY3ODlhYmNkZWY="
	newSecretText, oldSecretText = "0123456789abcdef0123456789abcdef", "abcdef01234567890123456789abcdef"
)

func TestLoadWebhooks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "old")
	if err := os.WriteFile(file, []byte(oldSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadText(t, `
[[app]]
id = "shop"
webhook_bytes = "64MiB"
[[app.key]]
id = "shop-1"
secret = "`+secret+`"
[[app.key]]
id = "shop-2"
secret = "`+secret+`-2"
[[app.webhook]]
name = "backend"
url = "https://shop.example/sno?x=1"
secret = "`+newSecret+`"
previous_secret_file = "`+file+`"
events = ["member_added"]
channels = ["chat:*"]
batch = 10
timeout = "3s"
allow_networks = ["10.1.0.0/16", "192.0.2.7"]
[[app.webhook]]
name = "first-key"
url = "https://shop.example/pusher"
format = "pusher"
[[app.webhook]]
name = "other-key"
url = "https://shop.example/pusher"
format = "pusher"
key = "shop-2"
[[app]]
id = "silent"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []outbox.App{
		{ID: "shop", Bytes: 64 << 20, Endpoints: []outbox.Endpoint{
			{
				Name: "backend", URL: "https://shop.example/sno?x=1", Secrets: [][]byte{[]byte(newSecretText), []byte(oldSecretText)}, Events: []string{"member_added"},
				Channels: []string{"chat:*"}, Batch: 10, Timeout: 3 * time.Second, Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.7/32")},
			},
			{Name: "first-key", URL: "https://shop.example/pusher", Format: outbox.Pusher, Key: "shop-1", Secrets: [][]byte{[]byte(secret)}, Allow: []netip.Prefix{}},
			{Name: "other-key", URL: "https://shop.example/pusher", Format: outbox.Pusher, Key: "shop-2", Secrets: [][]byte{[]byte(secret + "-2")}, Allow: []netip.Prefix{}},
		}},
		{ID: "silent"},
	}
	if got := c.OutboxApps(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadSaysWhatIsWrongWithWebhooks(t *testing.T) {
	const (
		app    = "[[app]]\nid = \"a\"\n[[app.key]]\nid = \"k\"\nsecret = \"" + secret + "\"\n"
		named  = app + "[[app.webhook]]\nname = \"w\"\n"
		there  = named + "url = \"https://a.example\"\n"
		signed = there + "secret = \"" + newSecret + "\"\n"
		pusher = there + "format = \"pusher\"\n"
	)
	for name, test := range map[string]struct{ text, want string }{
		"no name":             {app + "[[app.webhook]]\nurl = \"https://a.example\"\nsecret = \"" + newSecret + "\"", `app[1].webhook[1].name`},
		"name twice":          {signed + "[[app.webhook]]\nname = \"w\"\nurl = \"https://a.example\"\nsecret = \"" + newSecret + "\"", `webhook[2].name`},
		"no url":              {named + "secret = \"" + newSecret + "\"", `webhook[1].url must be an https URL`},
		"plain http":          {named + "url = \"http://a.example\"\nsecret = \"" + newSecret + "\"", `http is for the networks of allow_networks, which is empty`},
		"password":            {named + "url = \"https://u:hidden@a.example\"\nsecret = \"" + newSecret + "\"", `without a password`},
		"no secret":           {there, `secret must be "whsec_" and 24 to 64 bytes in base64`},
		"another secret":      {there + "secret = \"hidden\"", `secret must be "whsec_"`},
		"short secret":        {there + "secret = \"whsec_hidden\"", `24 to 64 bytes`},
		"previous":            {signed + "previous_secret = \"hidden\"", `previous_secret must be "whsec_"`},
		"secret twice":        {signed + "secret_file = \"/hidden\"", `secret_file stands beside secret`},
		"event":               {signed + "events = [\"member_add\"]", `events[1] is "member_add", which does not exist; did you mean "member_added"?`},
		"no such event":       {signed + "events = [\"x\"]", `the events are channel_occupied, `},
		"network":             {signed + "allow_networks = [\"10.0.0.0/33\"]", `allow_networks[1]`},
		"format":              {signed + "format = \"json\"", `format is "json"; it must be native or pusher`},
		"batch":               {signed + "batch = 101", `batch is 101; it must be from 1 to 100`},
		"timeout":             {signed + "timeout = \"2m\"", `timeout is 2m0s; it must be from 1s to 60s`},
		"bytes":               {"[[app]]\nid = \"a\"\nwebhook_bytes = \"1MiB\"", `webhook_bytes is 1MiB; it must be from 32MiB to 1TiB`},
		"key of native":       {signed + "key = \"k\"", `key is for the format pusher`},
		"secret of pusher":    {pusher + "secret = \"" + newSecret + "\"", `secret is for the format native`},
		"unknown key":         {pusher + "key = \"other\"", `key is "other", which is no key of the app`},
		"secret is no string": {there + "secret = [\"hidden\"]", `secret must be`},
		"webhook is no table": {"[[app]]\nid = \"a\"\nwebhook = \"hidden\"", `webhook must be`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(t, test.text)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
			if strings.Contains(strings.ReplaceAll(err.Error(), "/hidden", ""), "hidden") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
}
