package verify

import "github.com/snoserver/sno/internal/hub"

// Record is what was seen of a server.
type Record struct {
	Acked    []Acked
	Readers  []Reader
	Channels []Channel
}

// Acked is an acknowledged publish.
type Acked struct {
	Channel   string
	ID        string
	Position  hub.Position
	Publisher int
	// Sequence numbers the publisher's messages in the order in which it sent them. Within one publisher it increases.
	Sequence int
}

// Reader is what one subscription got, in the order in which it came.
type Reader struct {
	Name    string
	Channel string
	// Start is the position after which it reads.
	Start  hub.Position
	Events []Event
}

// Event is a message, or a reset when Reset is set.
type Event struct {
	ID       string
	Position hub.Position // a reset's is where reading goes on
	Prev     uint64
	Reset    hub.Reset
}

// Channel is what a channel holds at the end, oldest first.
type Channel struct {
	Name   string
	Events []Event
	// Head is the channel's newest position.
	Head hub.Position
}

// Report is what Check found.
type Report struct {
	Acked    int `json:"acknowledged"`
	Received int `json:"received"`
	Stored   int `json:"stored"`
	Resets   int `json:"resets"`
	// Behind is how many readers had not come to the end of what was acknowledged. That is Ledger's: Check, which is told when all is over, has KindMissed for it.
	Behind int `json:"behind,omitempty"`
	// Broken counts the violations by kind; Violations is the evidence of the first ones of each kind.
	Broken     map[Kind]int `json:"broken"`
	Violations []Violation  `json:"violations"`
}

// OK says that no promise was broken.
func (r *Report) OK() bool { return len(r.Broken) == 0 }

// Kind is a way in which a promise can be broken.
type Kind string

// The kinds there are, by the promise that they break.
const (
	KindLost           Kind = "lost"            // P1: acknowledged, and not in the channel
	KindPhantom        Kind = "phantom"         // P1: a reader got it, and it is not in the channel
	KindDisagreement   Kind = "disagreement"    // P2: two messages at one position
	KindNotIncreasing  Kind = "not_increasing"  // P2: an offset that is not after the one before
	KindPublisherOrder Kind = "publisher_order" // P2: a publisher's later message before its earlier one
	KindDuplicate      Kind = "duplicate"       // P3: one id at two positions
	KindRepeated       Kind = "repeated"        // P3: one message delivered twice
	KindMissed         Kind = "missed"          // P4: acknowledged, and a reader did not get it
	KindGap            Kind = "gap"             // P4: it does not follow the one before, and no reset said so
	KindDiverged       Kind = "diverged"        // P5: who was told of every change of presence does not know who is there
)

// Promises says which promise each kind breaks.
var Promises = map[Kind]string{
	KindLost: "P1", KindPhantom: "P1", KindDisagreement: "P2", KindNotIncreasing: "P2", KindPublisherOrder: "P2",
	KindDuplicate: "P3", KindRepeated: "P3", KindMissed: "P4", KindGap: "P4", KindDiverged: "P5",
}

// Violation is one broken promise with its evidence.
type Violation struct {
	Promise string `json:"promise"`
	Kind    Kind   `json:"kind"`
	Channel string `json:"channel"`
	// Reader is the reader that saw it, where it was one.
	Reader string `json:"reader,omitempty"`
	ID     string `json:"id,omitempty"`
	Text   string `json:"text"`
}
