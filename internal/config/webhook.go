package config

import (
	"slices"
	"strings"

	"github.com/snoserver/sno/internal/nearest"
	"github.com/snoserver/sno/internal/outbox"
	"github.com/snoserver/sno/internal/peer"
)

// Webhook is where a backend is told of events.
type Webhook struct {
	Name         string   `toml:"name" doc:"1 to 64 letters, digits, '_', '-' and '.', unique in the app. What has the same name goes on where it has got to, wherever its URL leads."`
	URL          string   `toml:"url" doc:"Where the events are posted to: an https URL, or http within allow_networks."`
	Events       []string `toml:"events" doc:"The types it gets: channel_occupied, channel_vacated, member_added, member_removed, and of protocols that have them client_event, cache_miss, subscription_count; all unless set."`
	Channels     []string `toml:"channels" doc:"Patterns of the channels whose events it gets; all unless set."`
	Format       string   `toml:"format" values:"native|pusher" doc:"How a request looks and is signed. native, unless set: as Standard Webhooks say; pusher: as Pusher's webhooks, for its libraries."`
	Secret       Secret   `toml:"secret" doc:"Signs native requests: whsec_ and 24 to 64 bytes in base64, for example from: echo whsec_$(openssl rand -base64 32)"`
	SecretFile   string   `toml:"secret_file" doc:"A file with it, instead of secret."`
	Previous     Secret   `toml:"previous_secret" doc:"The secret before: requests are signed with both until you take it out."`
	PreviousFile string   `toml:"previous_secret_file" doc:"A file with it, instead of previous_secret."`
	Key          string   `toml:"key" doc:"The id of the app's key whose secret signs requests of the format pusher; the app's first key unless set."`
	// Batch is 1 unless set, and Timeout outbox.DefaultTimeout.
	Batch         *int      `toml:"batch" min:"1" max:"100" doc:"Up to how many events a request may have; 1 unless set. With more a native request is an array."`
	Timeout       *Duration `toml:"timeout" min:"1s" max:"60s" doc:"How long your backend may take to answer a request; \"10s\" unless set."`
	AllowNetworks []string  `toml:"allow_networks" doc:"Networks that are not public and may be connected to, such as \"10.0.0.0/8\" or \"127.0.0.1\". Otherwise only public addresses are."`
}

func checkWebhooks(p *InvalidError, at path, app *App) {
	names := map[string]path{}
	for i := range app.Webhooks {
		w, at := &app.Webhooks[i], at.key("webhook").element(i)
		checkID(p, at.key("name"), w.Name, names)
		if err := outbox.CheckURL(w.URL, len(w.AllowNetworks) > 0); err != nil {
			p.add(at.key("url"), "%s", err)
		}
		for j, name := range w.Events {
			if !slices.Contains(outbox.Types, name) {
				p.add(at.key("events").element(j), "is %q, which does not exist%s", name, meant(name))
			}
		}
		for j, pattern := range w.Channels {
			checkPattern(p, at.key("channels").element(j), pattern)
		}
		for j, network := range w.AllowNetworks {
			if _, err := peer.ParseNetworks([]string{network}); err != nil {
				p.add(at.key("allow_networks").element(j), "%s", err)
			}
		}
		checkSigning(p, at, app, w)
	}
}

func meant(name string) string {
	if near := nearest.Name(name, outbox.Types); near != "" {
		return "; did you mean \"" + near + "\"?"
	}
	return "; the events are " + strings.Join(outbox.Types, ", ")
}

// checkSigning checks by what requests are signed.
func checkSigning(p *InvalidError, at path, app *App, w *Webhook) {
	if w.Format == "pusher" {
		if w.Secret != "" || w.Previous != "" {
			p.add(at.key("secret"), "is for the format native; requests of the format pusher are signed with the secret of a key of the app")
		}
		if app.keyOf(w) == nil {
			p.add(at.key("key"), "is %q, which is no key of the app", w.Key)
		}
		return
	}
	if w.Key != "" {
		p.add(at.key("key"), "is for the format pusher; native requests are signed with secret")
	}
	if _, err := outbox.ParseSecret(string(w.Secret)); err != nil {
		p.add(at.key("secret"), "%s", err)
	}
	if _, err := outbox.ParseSecret(string(w.Previous)); w.Previous != "" && err != nil {
		p.add(at.key("previous_secret"), "%s", err)
	}
}

// keyOf is the key whose secret signs a webhook of the format pusher; nil: there is none.
func (a *App) keyOf(w *Webhook) *Key {
	for i := range a.Keys {
		if w.Key == "" || a.Keys[i].ID == w.Key {
			return &a.Keys[i]
		}
	}
	return nil
}

// OutboxApps returns the apps as the outbox knows them: with their endpoints.
func (c *Config) OutboxApps() []outbox.App {
	apps := make([]outbox.App, len(c.Apps))
	for i := range c.Apps {
		app := &c.Apps[i]
		apps[i].ID = app.ID
		if app.Pusher.Enabled {
			apps[i].Hidden = []string{"#online-*", "#server-to-user-*"}
		}
		if app.WebhookBytes != nil {
			apps[i].Bytes = int64(*app.WebhookBytes)
		}
		for j := range app.Webhooks {
			apps[i].Endpoints = append(apps[i].Endpoints, app.endpoint(&app.Webhooks[j]))
		}
	}
	return apps
}

// endpoint is a webhook that Validate has seen.
func (a *App) endpoint(w *Webhook) outbox.Endpoint {
	e := outbox.Endpoint{Name: w.Name, URL: w.URL, Events: w.Events, Channels: w.Channels}
	e.Allow, _ = peer.ParseNetworks(w.AllowNetworks)
	if w.Batch != nil {
		e.Batch = *w.Batch
	}
	if w.Timeout != nil {
		e.Timeout = w.Timeout.Duration()
	}
	if w.Format == "pusher" {
		key := a.keyOf(w)
		e.Format, e.Key, e.Secrets = outbox.Pusher, key.ID, [][]byte{[]byte(key.Secret)}
		return e
	}
	for _, s := range []Secret{w.Secret, w.Previous} {
		if secret, err := outbox.ParseSecret(string(s)); err == nil {
			e.Secrets = append(e.Secrets, secret)
		}
	}
	return e
}
