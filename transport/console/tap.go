package console

// tap gets a copy of everything that the port gives.
type tap struct{}

func (t *tap) add(p []byte) {}
