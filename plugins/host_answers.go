package plugins

import (
	"errors"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

var errNoAnswer = errors.New("the operation does not answer with this kind of object")

// answerWith makes the functions that answer with an object.
func answerWith[T any](kind int) func(*frame, *[5]uint64) (uint64, error) {
	return func(h *frame, a *[5]uint64) (uint64, error) {
		x := h.p.context
		if x.AnswerKind != kind || h.src != h.call {
			return 0, errNoAnswer
		}
		if p := object[T](h, a[0]); p != nil {
			return 0, h.call.SetResultHandle(x.answer, p)
		}
		return 0, h.call.SetResultHandle(x.answer, nil)
	}
}

var answerFunctions = []Function{
	{
		Name: "pq_native", Group: "answers", C: "void pq_native(void)", Effect: vm.Mutate, Free: true, mayFree: true, result: nothing, cost: 64,
		Doc: "Runs the native body of the operation now and makes its answer the context's results, to be adjusted. It runs once: asking again restores its answer.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) {
			if h.trial != nil {
				h.trial.native(h)
				return 0, nil
			}
			h.call.Native()
			h.p.loadResults(h)
			return 0, nil
		},
	},
	{
		Name: "pq_answer_path", Group: "answers", C: "void pq_answer_path(struct pq_path *path)", Effect: vm.Mutate, Free: true, params: []vm.Param{orNull(kindPath)}, result: nothing, cost: 8,
		Doc: "Answers an operation whose result is a path; NULL is none.",
		run: answerWith[core.Path](kindPath),
	},
	{
		Name: "pq_answer_stream", Group: "answers", C: "void pq_answer_stream(struct pq_stream *stream)", Effect: vm.Mutate, Free: true, params: []vm.Param{orNull(kindStream)}, result: nothing, cost: 8,
		Doc: "Answers an operation whose result is a stream; NULL is none.",
		run: answerWith[core.Stream](kindStream),
	},
	{
		Name: "pq_answer_plugin_stream", Group: "answers", C: "void pq_answer_plugin_stream(struct pq_plugin_stream *stream)", Effect: vm.Mutate, Free: true, params: []vm.Param{orNull(kindPluginStream)}, result: nothing, cost: 8,
		Doc: "Answers an operation whose result is a plugin stream; NULL is none.",
		run: answerWith[core.PluginStream](kindPluginStream),
	},
	{
		Name: "pq_answer_parameter", Group: "answers", C: "void pq_answer_parameter(const void *data, u64 size)", Effect: vm.Mutate, Free: true, params: []vm.Param{memRead, lengthTo(maxParameter)}, result: nothing, cost: 16,
		Doc: "Answers write_transport_parameter: the parameter is sent with these bytes, at most 1024, as its value.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			w := protoops.ResultOf[core.WrittenParam](h.call)
			if w == nil {
				return 0, errNoAnswer
			}
			b, err := h.bytes(a[0], a[1])
			if err != nil {
				return 0, err
			}
			w.SetBytes(append([]byte{}, b...))
			h.p.setResult(h, "result_present", 1)
			return 0, nil
		},
	},
}

// maxParameter bounds a plugin's transport parameter.
const maxParameter = 1024
