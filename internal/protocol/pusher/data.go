package pusher

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// dataHeader says how the data of a message arrives here, where it is not as its JSON text. See the package's documentation.
const dataHeader = "pusher-data"

// What dataHeader says. The maps are shared by all messages, and nobody changes them.
var (
	asText  = map[string]string{dataHeader: "text"}  // the data is a JSON string, and arrives as the string
	asValue = map[string]string{dataHeader: "value"} // the data arrives as the value that it is
)

// store is what the hub keeps of data that is a string. literal is the string as it stands in JSON.
func store(literal json.RawMessage) (data []byte, headers map[string]string, err error) {
	var s string
	if err := json.Unmarshal(literal, &s); err != nil {
		return nil, nil, err
	}
	// A lone surrogate cannot be written but as an escape: it has become U+FFFD in s.
	lost := strings.ContainsRune(s, utf8.RuneError) && bytes.Contains(literal, []byte(`\u`))
	if text := []byte(s); !lost && json.Valid(text) {
		return text, nil, nil
	}
	return literal, asText, nil
}

// appendData appends a message's data as the value of "data".
func appendData(dst []byte, m *hub.Message) []byte {
	switch how := m.Headers[dataHeader]; {
	case m.Binary:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), m.Data), '"')
	case len(m.Data) == 0:
		return append(dst, `"null"`...)
	case how == "text" && m.Data[0] == '"', how == "value":
		return append(dst, m.Data...)
	}
	return messagejson.AppendString(dst, string(m.Data))
}
