package config

import (
	"log/slog"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/peer"
)

// SlogLevel is the level in the words of the logger.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // the words are slog's own, and Validate has seen this one
	return level
}

// Proxies returns the proxies that are believed, and which headers of theirs.
func (c *Config) Proxies() (peer.Networks, peer.Header) {
	networks, _ := peer.ParseNetworks(c.TrustedProxies) // Validate has seen them
	return networks, peer.Header(c.ProxyHeader == "forwarded")
}

// HubLimits returns the limits in the hub's words.
func (c *Config) HubLimits() hub.Limits {
	l := c.Limits
	return hub.Limits{
		MessageBytes: int(l.MessageBytes), ChannelBytes: l.ChannelBytes, Subscriptions: l.Subscriptions,
		Members: l.Members, MemberBytes: int(l.MemberBytes),
	}
}

// HubApps returns the apps as the hub knows them: with rules, without keys.
func (c *Config) HubApps() []hub.App {
	apps := make([]hub.App, len(c.Apps))
	for i, app := range c.Apps {
		apps[i].ID = app.ID
		for j := range app.Rules {
			apps[i].Rules = append(apps[i].Rules, app.Rules[j].hub())
		}
	}
	return apps
}

// The words of rules. An empty one is that of hub.DefaultRule.
var (
	stores     = map[string]hub.Store{"disk": hub.StoreDisk, "memory": hub.StoreMemory, "none": hub.StoreNone, "": hub.DefaultRule.Keep.Store}
	delivers   = map[string]hub.Deliver{"all": hub.DeliverAll, "latest": hub.DeliverLatest, "": hub.DefaultRule.Deliver}
	publishers = map[string]hub.PublishBy{"grant": hub.PublishByGrant, "server": hub.PublishByServer, "subscribers": hub.PublishBySubscriber, "": hub.DefaultRule.Publish}
)

func (r *Rule) hub() hub.Rule {
	rule := hub.DefaultRule
	rule.Pattern, rule.Public = r.Pattern, r.Public
	rule.Keep.Store, rule.Deliver, rule.Publish = stores[r.Store], delivers[r.Deliver], publishers[r.Publish]
	if r.Messages != nil {
		rule.Keep.Messages = *r.Messages
	}
	if r.Age != nil {
		rule.Keep.Age = r.Age.Duration()
	}
	if r.Bytes != nil {
		rule.Keep.Bytes = int64(*r.Bytes)
	}
	if r.Presence != nil {
		rule.NoPresence = !*r.Presence
	}
	return rule
}
