package hub

// Member is somebody in a channel. One member may be there with several sessions; it is there while any of them is.
type Member struct {
	ID string
	// Data is one JSON value, or nil.
	Data []byte
	// Sessions is how many sessions the member is there with, in snapshots.
	Sessions int
}

// PresenceEvent says how a channel's members changed.
type PresenceEvent uint8

// The changes there are.
const (
	MemberEntered PresenceEvent = iota
	MemberUpdated
	MemberLeft
)

// Change is one change of a channel's members. Changes of a channel are numbered without gaps.
type Change struct {
	Version uint64
	Event   PresenceEvent
	Member  Member
}

// Presence knows who is in which channel. Implementations apply changes one after the other, so that everybody sees the same
// order: a snapshot at a version and the changes after it give exactly the members at any later version.
// What it holds is bounded by the members there are: it keeps a bounded number of changes for readers.
type Presence interface {
	// Enter makes a session stand for a member, or changes the member's data. A session that was lost and comes
	// back (as the same member, by whatever session) within the grace causes no change.
	Enter(ch Channel, session string, m Member) error
	// Leave ends it at once, with a change if no other session stands for the member.
	Leave(ch Channel, session, member string)
	// Lost ends everything of a session. lastHeard is when the session last gave a sign of life, in Unix milliseconds: members leave
	// when the grace has passed since then; 0: at once.
	Lost(session string, lastHeard int64)
	// Members returns all members by id and the version they are of.
	Members(ch Channel) ([]Member, uint64)
	// Changes returns the changes after a version, oldest first, or ok = false when they are no longer kept: the
	// reader takes a new snapshot.
	Changes(ch Channel, after uint64) (changes []Change, ok bool)
}

// MemberCounter is a Presence that can count members without making a list of them.
type MemberCounter interface {
	// Count is how many members a channel has.
	Count(ch Channel) int
	// Total is how many members all channels have.
	Total() int
}
