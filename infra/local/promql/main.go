// Evaluates PromQL on sample series with Prometheus's own engine, for tests of alerts.
//
// It reads cases from standard input and writes answers to standard output, both as a JSON array:
//
//	{"expr": "up < 1", "series": ["up{job=\"a\"} 1x5 0x5"], "interval_seconds": 60, "at_seconds": [0, 300]}
//	{"values": [[], [{"labels": {"job": "a"}, "value": 0}]]}   or   {"error": "1:4: parse error: ..."}
//
// A series is written as for `promtool test rules`; its first sample is at second 0. `values` has an entry for each
// moment: the series that the expression then has. A case without moments is only parsed.
//
// promtool itself would do, but it brings the clients of every cloud and of Kubernetes: this is a twentieth of it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

var version = "unknown" // set by the build: the engine's

type testCase struct {
	Expr            string   `json:"expr"`
	Series          []string `json:"series"`
	IntervalSeconds int64    `json:"interval_seconds"`
	AtSeconds       []int64  `json:"at_seconds"`
}

type value struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

type answer struct {
	Values [][]value `json:"values,omitempty"`
	Error  string    `json:"error,omitempty"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(version)
		return
	}
	var cases []testCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, "standard input is no array of cases:", err)
		os.Exit(2)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: 30 * time.Second})
	answers := make([]answer, 0, len(cases))
	for _, one := range cases {
		values, err := evaluate(engine, one)
		if err != nil {
			answers = append(answers, answer{Error: err.Error()})
			continue
		}
		answers = append(answers, answer{Values: values})
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func evaluate(engine *promql.Engine, one testCase) ([][]value, error) {
	if _, err := parser.ParseExpr(one.Expr); err != nil {
		return nil, err
	}
	held := memory{}
	for _, text := range one.Series {
		series, err := read(text, one.IntervalSeconds)
		if err != nil {
			return nil, fmt.Errorf("series %q: %w", text, err)
		}
		held = append(held, series)
	}
	answers := make([][]value, 0, len(one.AtSeconds))
	for _, second := range one.AtSeconds {
		found, err := at(engine, held, one.Expr, time.Unix(second, 0))
		if err != nil {
			return nil, err
		}
		answers = append(answers, found)
	}
	return answers, nil
}

func at(engine *promql.Engine, held memory, expr string, moment time.Time) ([]value, error) {
	query, err := engine.NewInstantQuery(context.Background(), held, nil, expr, moment)
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(context.Background())
	if result.Err != nil {
		return nil, result.Err
	}
	vector, err := result.Vector()
	if err != nil { // a number is no alert
		return nil, err
	}
	found := make([]value, 0, len(vector))
	for _, sample := range vector {
		found = append(found, value{Labels: sample.Metric.Map(), Value: sample.F})
	}
	return found, nil
}

func read(text string, intervalSeconds int64) (*storage.SeriesEntry, error) {
	set, values, err := parser.ParseSeriesDesc(text)
	if err != nil {
		return nil, err
	}
	samples := []chunks.Sample{}
	for i, one := range values {
		if !one.Omitted {
			samples = append(samples, sample{int64(i) * intervalSeconds * 1000, one.Value})
		}
	}
	return storage.NewListSeries(set, samples), nil
}

// sample is one number at a moment in milliseconds.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// memory is a storage of a few series.
type memory []*storage.SeriesEntry

func (m memory) Querier(_, _ int64) (storage.Querier, error) { return m, nil }

func (m memory) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &set{}
	for _, series := range m {
		if matches(series.Labels(), matchers) {
			found.series = append(found.series, series)
		}
	}
	return found
}

func (m memory) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (m memory) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (m memory) Close() error { return nil }

func matches(set labels.Labels, matchers []*labels.Matcher) bool {
	for _, matcher := range matchers {
		if !matcher.Matches(set.Get(matcher.Name)) {
			return false
		}
	}
	return true
}

// set walks over series.
type set struct {
	series []storage.Series
	next   int
}

func (s *set) Next() bool {
	s.next++
	return s.next <= len(s.series)
}

func (s *set) At() storage.Series                { return s.series[s.next-1] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }
