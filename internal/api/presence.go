package api

import (
	"net/http"
	"strconv"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// members is GET /v1/channels/{channel}/presence, and GET /v1/presence?channel=….
func (a *api) members(w http.ResponseWriter, r *http.Request) error {
	c, err := a.askChannel(r)
	if err != nil {
		return err
	}
	members, version, err := a.hub.Members(c.grant, c.channel)
	if err != nil {
		return err
	}
	writeJSON(w, appendMembers(nil, members, version))
	return nil
}

func appendMembers(b []byte, members []hub.Member, version uint64) []byte {
	b = append(b, `{"members":[`...)
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = messagejson.AppendString(append(b, `{"id":`...), m.ID)
		if m.Data != nil {
			b = append(append(b, `,"data":`...), m.Data...)
		}
		b = append(strconv.AppendInt(append(b, `,"sessions":`...), int64(m.Sessions), 10), '}')
	}
	return append(strconv.AppendUint(append(b, `],"version":`...), version, 10), '}')
}
