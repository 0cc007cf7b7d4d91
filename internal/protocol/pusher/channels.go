package pusher

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// attributes are those that are asked for of a channel, by commas, if it has them all. single: of this channel alone.
func attributes(name, asked string, single bool) ([]string, error) {
	if asked == "" {
		return nil, nil
	}
	k := kindOf(name)
	has := map[string]bool{"user_count": k.presence, "subscription_count": true, "cache": k.cache && single}
	list := strings.Split(asked, ",")
	for i, attribute := range list {
		if list[i] = strings.TrimSpace(attribute); !has[list[i]] {
			return nil, hub.Errorf(hub.CodeBadRequest, "Invalid info: %q is no attribute of channel %q", clip(list[i]), clip(name))
		}
	}
	return list, nil
}

// about is a channel as it is just now: the attributes that are asked for. single: it says besides whether anybody follows it.
func (c *call) about(name, asked string, single bool) (map[string]any, error) {
	list, err := attributes(name, asked, single)
	if err != nil {
		return nil, err
	}
	now, err := c.p.Hub.Occupancy(c.app.server, name)
	if err != nil {
		return nil, err
	}
	about := map[string]any{}
	if single {
		about["occupied"] = now.Subscribers > 0
	}
	for _, attribute := range list {
		switch attribute {
		case "user_count":
			about[attribute] = now.Members
		case "subscription_count":
			about[attribute] = now.Subscribers
		case "cache":
			if about[attribute], err = c.cache(name); err != nil {
				return nil, err
			}
		}
	}
	return about, nil
}

// cache is what a cache channel has for who subscribes, and for how many seconds more; nil: nothing.
func (c *call) cache(name string) (any, error) {
	page, err := c.p.Hub.History(c.Context(), c.app.server, name, hub.Query{Last: 1, Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return nil, err
	}
	left := cacheFor - time.Since(page.Messages[0].When())
	if left <= 0 {
		return nil, nil
	}
	return map[string]any{"data": json.RawMessage(appendData(nil, page.Messages[0])), "ttl": int(left.Seconds())}, nil
}

// channels is GET …/channels.
func (c *call) channels() (any, error) {
	prefix, asked := c.sign.get("filter_by_prefix"), c.sign.get("info")
	if asked != "" && asked != "subscription_count" && !strings.HasPrefix(prefix, "presence-") {
		return nil, hub.Errorf(hub.CodeBadRequest, "Invalid info: user_count goes with filter_by_prefix=presence- only")
	}
	list, err := c.p.Hub.Occupied(c.app.server, prefix)
	if err != nil {
		return nil, err
	}
	channels := map[string]any{}
	for _, o := range list {
		if strings.HasPrefix(o.Name, "#") {
			continue
		}
		if channels[o.Name], err = c.about(o.Name, asked, false); err != nil {
			return nil, err
		}
	}
	return map[string]any{"channels": channels}, nil
}

// channel is GET …/channels/{channel}.
func (c *call) channel() (any, error) {
	name := c.PathValue("channel")
	if bad := c.app.checkName(name); bad != nil {
		return nil, bad
	}
	return c.about(name, c.sign.get("info"), true)
}

// users is GET …/channels/{channel}/users.
func (c *call) users() (any, error) {
	name := c.PathValue("channel")
	if !kindOf(name).presence {
		return nil, hub.Errorf(hub.CodeBadRequest, "Users can be retrieved only for presence channels")
	}
	members, _, err := c.p.Hub.Members(c.app.server, name)
	if err != nil {
		return nil, err
	}
	type user struct {
		ID string `json:"id"`
	}
	users := make([]user, len(members))
	for i, m := range members {
		users[i].ID = m.ID
	}
	return map[string]any{"users": users}, nil
}

// terminate is POST …/users/{user}/terminate_connections.
func (c *call) terminate() (any, error) {
	c.p.terminate(c.app, c.PathValue("user"))
	return struct{}{}, nil
}
