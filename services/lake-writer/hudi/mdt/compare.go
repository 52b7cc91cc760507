package mdt

import (
	"cmp"
	"fmt"
	"slices"
)

// DifferenceKind says how a listing and what is stored differ.
type DifferenceKind int

// The kinds.
const (
	// Missing: a stored file is not listed: engines that trust the listing do not see its rows.
	Missing DifferenceKind = iota
	// Extra: a listed file is not stored: engines that trust the listing fail.
	Extra
	// WrongSize: engines read the file to its listed size.
	WrongSize
	// MissingPartition: a partition with stored files is not in the list of partitions.
	MissingPartition
)

// String names the kind.
func (k DifferenceKind) String() string {
	switch k {
	case Missing:
		return "missing"
	case Extra:
		return "extra"
	case WrongSize:
		return "wrong size"
	default:
		return "missing partition"
	}
}

// Difference is one file, or one partition, in which a listing is not what is stored.
type Difference struct {
	Kind      DifferenceKind
	Partition string
	Name      string // of the file; "" of a partition
	Listed    int64  // bytes
	Stored    int64  // bytes
}

func (d Difference) String() string {
	where := fmt.Sprintf("partition %q", d.Partition)
	if d.Name != "" {
		where += " file " + d.Name
	}
	if d.Kind == WrongSize {
		return fmt.Sprintf("%s: listed with %d bytes, has %d", where, d.Listed, d.Stored)
	}
	return where + ": " + d.Kind.String()
}

// Compare judges a listing by the data files that are stored, by partition and name with their sizes in bytes: base and log files that
// belong to completed instants, none of the partitions' metafiles. Differences come by partition, name and kind.
func Compare(l Listing, objects map[string]map[string]int64) []Difference {
	var found []Difference
	for partition, sizes := range objects {
		if _, listed := slices.BinarySearch(l.Partitions, partition); !listed && len(sizes) > 0 {
			found = append(found, Difference{Kind: MissingPartition, Partition: partition})
		}
		for name, stored := range sizes {
			switch listed, ok := l.Files[partition][name]; {
			case !ok:
				found = append(found, Difference{Kind: Missing, Partition: partition, Name: name, Stored: stored})
			case listed != stored:
				found = append(found, Difference{WrongSize, partition, name, listed, stored})
			}
		}
	}
	for partition, sizes := range l.Files {
		for name, listed := range sizes {
			if _, ok := objects[partition][name]; !ok {
				found = append(found, Difference{Kind: Extra, Partition: partition, Name: name, Listed: listed})
			}
		}
	}
	slices.SortFunc(found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return found
}
