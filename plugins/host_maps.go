package plugins

import (
	"encoding/binary"
	"slices"

	"github.com/pquic-go/pquic/vm"
)

// Bounds of the ordered maps of one plugin on one connection.
const (
	numMaps       = 16
	maxMapEntries = 1 << 16 // in all of them
)

// An orderedMap keeps its entries sorted by key. Most plugins insert ascending
// keys, packet numbers say, and take the smallest: both are cheap.
type orderedMap struct{ entries []mapEntry }

type mapEntry struct{ key, value uint64 }

func (o *orderedMap) find(key uint64) (int, bool) {
	if n := len(o.entries); n == 0 || o.entries[n-1].key < key {
		return n, false
	}
	return slices.BinarySearchFunc(o.entries, key, func(e mapEntry, k uint64) int {
		switch {
		case e.key < k:
			return -1
		case e.key > k:
			return 1
		}
		return 0
	})
}

// maps are the maps of an instance.
type maps struct {
	all  [numMaps]orderedMap
	size int
}

var mapParam = vm.Param{Type: vm.ScalarParam, Max: numMaps - 1}

var mapFunctions = []Function{
	{
		Name: "pq_map_set", Group: "maps", C: "i64 pq_map_set(u64 map, u64 key, u64 value)", Effect: vm.OwnHeap, params: []vm.Param{mapParam, scalar, scalar}, result: value, cost: 16,
		Doc: "Stores a value in one of the plugin's 16 ordered maps, 0 to 15. 0, or -1 if they hold 65536 entries already.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			ms := h.in.ordered()
			o := &ms.all[a[0]]
			i, ok := o.find(a[1])
			if ok {
				o.entries[i].value = a[2]
				return done, nil
			}
			if ms.size >= maxMapEntries {
				return refused, nil
			}
			ms.size++
			err := h.m.Charge(uint64(len(o.entries)-i) / 4)
			o.entries = slices.Insert(o.entries, i, mapEntry{a[1], a[2]})
			return done, err
		},
	},
	{
		Name: "pq_map_get", Group: "maps", C: "u64 pq_map_get(u64 map, u64 key, u64 *value)", Effect: vm.OwnHeap, params: []vm.Param{mapParam, scalar, writeFixed(8)}, result: truth, cost: 8,
		Doc: "Reads a value; 1 if the key is there, 0 and nothing written if not.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			o := &h.in.ordered().all[a[0]]
			i, ok := o.find(a[1])
			if ok {
				return 1, h.store64(a[2], o.entries[i].value)
			}
			return 0, nil
		},
	},
	{
		Name: "pq_map_delete", Group: "maps", C: "u64 pq_map_delete(u64 map, u64 key)", Effect: vm.OwnHeap, params: []vm.Param{mapParam, scalar}, result: truth, cost: 16,
		Doc: "Removes a key; 1 if it was there.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			ms := h.in.ordered()
			o := &ms.all[a[0]]
			i, ok := o.find(a[1])
			if !ok {
				return 0, nil
			}
			ms.size--
			err := h.m.Charge(uint64(len(o.entries)-i) / 4)
			o.entries = slices.Delete(o.entries, i, i+1)
			return 1, err
		},
	},
	{
		Name: "pq_map_size", Group: "maps", C: "u64 pq_map_size(u64 map)", Effect: vm.Pure, params: []vm.Param{mapParam}, result: vm.Result{Type: vm.ScalarResult, Max: maxMapEntries},
		Doc: "How many entries a map has.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return uint64(len(h.in.ordered().all[a[0]].entries)), nil
		},
	},
	{
		Name: "pq_map_ceiling", Group: "maps", C: "u64 pq_map_ceiling(u64 map, u64 from, u64 *key, u64 *value)", Effect: vm.OwnHeap, params: []vm.Param{mapParam, scalar, writeFixed(8), writeFixed(8)}, result: truth, cost: 8,
		Doc: "Finds the entry with the smallest key that is at least from; 1 if there is one.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			o := &h.in.ordered().all[a[0]]
			i, _ := o.find(a[1])
			return h.entry(o, i, a)
		},
	},
	{
		Name: "pq_map_floor", Group: "maps", C: "u64 pq_map_floor(u64 map, u64 to, u64 *key, u64 *value)", Effect: vm.OwnHeap, params: []vm.Param{mapParam, scalar, writeFixed(8), writeFixed(8)}, result: truth, cost: 8,
		Doc: "Finds the entry with the greatest key that is at most to; 1 if there is one.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			o := &h.in.ordered().all[a[0]]
			i, ok := o.find(a[1])
			if !ok {
				i--
			}
			return h.entry(o, i, a)
		},
	},
}

// entry writes entry i of o where arguments 2 and 3 point.
func (h *frame) entry(o *orderedMap, i int, a *[5]uint64) (uint64, error) {
	if i < 0 || i >= len(o.entries) {
		return 0, nil
	}
	if err := h.store64(a[2], o.entries[i].key); err != nil {
		return 0, err
	}
	return 1, h.store64(a[3], o.entries[i].value)
}

func (h *frame) store64(addr, v uint64) error {
	b, err := h.writable(addr, 8)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b, v)
	return nil
}
