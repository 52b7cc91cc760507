package timeline

import (
	"errors"
	"fmt"
)

// Layout is how a timeline names its files, and where they are. The zero value is Layout1.
type Layout int

// The layouts (hoodie.timeline.layout.version).
const (
	Layout1 Layout = iota // of table versions up to 6: in .hoodie itself
	Layout2               // of table versions 8 and 9: in a folder of its own, completed files with their completion time
)

// ErrLayout: a layout that this package does not know.
var ErrLayout = errors.New("unknown timeline layout")

// ParseLayout reads the value of hoodie.timeline.layout.version. No value is layout 1, which is older than the property.
func ParseLayout(version string) (Layout, error) {
	switch version {
	case "", "1":
		return Layout1, nil
	case "2":
		return Layout2, nil
	default:
		return 0, fmt.Errorf("%q: %w", version, ErrLayout)
	}
}

// String is the layout's value of hoodie.timeline.layout.version.
func (l Layout) String() string {
	if l == Layout2 {
		return "2"
	}
	return "1"
}

// Folder holds the timeline's files in layout 1, and Prefix is what their keys begin with: instants of the years 2000 to 2999.
// Listing by it leaves out .hoodie/metadata, archived and .temp, which may hold many more objects than the timeline.
const (
	Folder = ".hoodie/"
	Prefix = Folder + "2"
)

// Folder holds the timeline's files. In layout 2 it is that of hoodie.timeline.path's default.
func (l Layout) Folder() string {
	if l == Layout2 {
		return Folder + "timeline/"
	}
	return Folder
}

// Prefix is what the keys of the timeline's files begin with, as the constant Prefix says of layout 1. In layout 2 it leaves out the
// history.
func (l Layout) Prefix() string { return l.Folder() + "2" }
