package api

import (
	"net/http"
	"strconv"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// channels is GET /v1/channels.
func (a *api) channels(w http.ResponseWriter, r *http.Request) error {
	q, err := a.ask(r, "prefix", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := pageLimit(q.params)
	if err != nil {
		return err
	}
	page, more, err := a.hub.Channels(r.Context(), q.grant, q.params["prefix"], q.params["after"], limit)
	if err != nil {
		return err
	}
	b := []byte(`{"channels":[`)
	for i, c := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendChannel(b, c)
	}
	writeJSON(w, append(strconv.AppendBool(append(b, `],"more":`...), more), '}'))
	return nil
}

// channelInfo is GET /v1/channels/{channel}.
func (a *api) channelInfo(w http.ResponseWriter, r *http.Request) error {
	q, err := a.askChannel(r)
	if err != nil {
		return err
	}
	c, err := a.hub.Channel(r.Context(), q.grant, q.channel)
	if err != nil {
		return err
	}
	writeJSON(w, appendChannel(nil, c))
	return nil
}

func appendChannel(b []byte, c hub.ChannelInfo) []byte {
	b = messagejson.AppendString(append(b, `{"channel":`...), c.Name)
	b = append(messagejson.AppendPosition(append(b, `,"head":{`...), c.Head), '}')
	b = strconv.AppendUint(append(b, `,"messages":`...), c.Kept.Messages, 10)
	b = strconv.AppendUint(append(b, `,"bytes":`...), c.Kept.Bytes, 10)
	b = strconv.AppendInt(append(b, `,"subscribers":`...), int64(c.Subscribers), 10)
	b = strconv.AppendInt(append(b, `,"members":`...), int64(c.Members), 10)
	return append(b, '}')
}
