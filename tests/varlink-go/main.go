// SPDX-License-Identifier: GPL-2.0-or-later

// A client of eagersplitd by a Varlink implementation that is not its own: calls every
// method, and holds what comes back against the interfaces as the service describes them.
//
//	client SOCKET TEST ARGUMENT...
//
// Exit status 0: the test has passed; 1, with a line on standard error: it has not.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/varlink/go/varlink"
	"github.com/varlink/go/varlink/idl"
)

const (
	manager = "org.eagersplit.Manager"
	metrics = "org.eagersplit.Metrics"
	service = "org.varlink.service"
)

type object map[string]interface{}

type client struct {
	*varlink.Connection
	ctx        context.Context
	interfaces map[string]*idl.IDL
	called     map[string]bool
}

// parse reads an interface by the library's parser, which is of a time when the names of
// interfaces were all lower case: so that is how it gets to see them.
func parse(description string) (*idl.IDL, error) {
	lines := strings.Split(description, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "interface ") {
			lines[i] = strings.ToLower(line)
		}
	}
	return idl.New(strings.Join(lines, "\n"))
}

func connect(path string) (*client, error) {
	ctx := context.Background()
	connection, err := varlink.NewConnection(ctx, "unix:"+path)
	if err != nil {
		return nil, err
	}
	c := &client{connection, ctx, map[string]*idl.IDL{}, map[string]bool{}}
	for _, name := range []string{manager, metrics, service} {
		description, err := c.GetInterfaceDescription(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if c.interfaces[name], err = parse(description); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return c, nil
}

func split(full string) (string, string) {
	i := strings.LastIndex(full, ".")
	return full[:i], full[i+1:]
}

// conforms tells how value is not what the type says, or nil.
func conforms(in *idl.IDL, t *idl.Type, value interface{}, where string) error {
	bad := fmt.Errorf("%s: %v is not of its type", where, value)
	switch t.Kind {
	case idl.TypeBool:
		if _, ok := value.(bool); !ok {
			return bad
		}
	case idl.TypeInt:
		number, ok := value.(json.Number)
		if !ok {
			return bad
		}
		if _, err := strconv.ParseInt(number.String(), 10, 64); err != nil {
			return err
		}
	case idl.TypeString:
		if _, ok := value.(string); !ok {
			return bad
		}
	case idl.TypeMaybe:
		if value != nil {
			return conforms(in, t.ElementType, value, where)
		}
	case idl.TypeArray:
		elements, ok := value.([]interface{})
		if !ok {
			return bad
		}
		for i, element := range elements {
			if err := conforms(in, t.ElementType, element, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	case idl.TypeEnum:
		for _, field := range t.Fields {
			if value == field.Name {
				return nil
			}
		}
		return bad
	case idl.TypeAlias:
		for _, alias := range in.Aliases {
			if alias.Name == t.Alias {
				return conforms(in, alias.Type, value, where)
			}
		}
		return fmt.Errorf("%s: no type %s", where, t.Alias)
	case idl.TypeStruct:
		return conformsToStruct(in, t, value, where)
	default:
		return fmt.Errorf("%s: a type that these interfaces do not use", where)
	}
	return nil
}

func conformsToStruct(in *idl.IDL, t *idl.Type, value interface{}, where string) error {
	members, ok := value.(map[string]interface{})
	if !ok {
		return fmt.Errorf("%s: %v is no object", where, value)
	}
	known := map[string]bool{}
	for _, field := range t.Fields {
		known[field.Name] = true
		member, there := members[field.Name]
		if !there && field.Type.Kind != idl.TypeMaybe {
			return fmt.Errorf("%s: no %s", where, field.Name)
		}
		if err := conforms(in, field.Type, member, where+"."+field.Name); err != nil {
			return err
		}
	}
	for name := range members {
		if !known[name] {
			return fmt.Errorf("%s: %s is not in the interface", where, name)
		}
	}
	return nil
}

// decode keeps integers as they are written.
func decode(raw json.RawMessage) (interface{}, error) {
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	var value interface{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return value, decoder.Decode(&value)
}

// checkReply holds the parameters of a reply against the interface.
func (c *client) checkReply(method string, raw json.RawMessage) (object, error) {
	value, err := decode(raw)
	if err != nil {
		return nil, err
	}
	in, name := split(method)
	for _, m := range c.interfaces[in].Methods {
		if m.Name == name {
			c.called[method] = true
			if err := conforms(c.interfaces[in], m.Out, value, name); err != nil {
				return nil, err
			}
			return value.(map[string]interface{}), nil
		}
	}
	return nil, fmt.Errorf("%s has no method %s", in, name)
}

func (c *client) call(method string, parameters object) (object, error) {
	var raw json.RawMessage
	if err := c.Call(c.ctx, method, parameters, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	return c.checkReply(method, raw)
}

// checkError makes a call that must get that error, with parameters as the interface says.
func (c *client) checkError(method string, parameters object, name string) error {
	var raw json.RawMessage
	err := c.Call(c.ctx, method, parameters, &raw)
	if err == nil {
		return fmt.Errorf("%s %v: no error", method, parameters)
	}
	if err.Error() != name {
		return fmt.Errorf("%s %v: %s, not %s", method, parameters, err, name)
	}
	var e *varlink.Error
	if !errors.As(err, &e) {
		return nil // one of the library's own types: decoded
	}
	raw = nil
	if given := e.Parameters.(*json.RawMessage); given != nil {
		raw = *given
	}
	value, err := decode(raw)
	if err != nil {
		return err
	}
	in, short := split(name)
	for _, known := range c.interfaces[in].Errors {
		if known.Name == short {
			return conforms(c.interfaces[in], known.Type, value, short)
		}
	}
	return fmt.Errorf("%s has no error %s", in, short)
}

// introspection: the interfaces are the files, to the byte.
func introspection(c *client, arguments []string) error {
	var vendor, product, version, url string
	var interfaces []string
	if err := c.GetInfo(c.ctx, &vendor, &product, &version, &url, &interfaces); err != nil {
		return err
	}
	if product != "eagersplitd" || version != arguments[0] {
		return fmt.Errorf("%s %s", product, version)
	}
	if len(interfaces) != len(c.interfaces) {
		return fmt.Errorf("interfaces: %v", interfaces)
	}
	for _, path := range arguments[1:] {
		file, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(path), ".varlink")
		description, err := c.GetInterfaceDescription(c.ctx, name)
		if err != nil {
			return err
		}
		if description != string(file) {
			return fmt.Errorf("%s is not what the file says", name)
		}
		if c.interfaces[name].Name != strings.ToLower(name) {
			return fmt.Errorf("%s is called %s", name, c.interfaces[name].Name)
		}
	}
	return nil
}

func follow(c *client, vm string, until string) error {
	type reply struct {
		Vm struct {
			Stage       string
			BlocksSplit int64
		}
	}
	receive, err := c.Send(c.ctx, manager+".Watch", object{"vm": vm}, varlink.More)
	if err != nil {
		return err
	}
	blocks := int64(-1)
	for {
		var raw json.RawMessage
		flags, err := receive(c.ctx, &raw)
		if err != nil {
			return err
		}
		if _, err := c.checkReply(manager+".Watch", raw); err != nil {
			return err
		}
		var r reply
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		if flags&varlink.Continues == 0 {
			return errors.New("the watch has ended")
		}
		if r.Vm.BlocksSplit < blocks {
			return fmt.Errorf("%d blocks split after %d", r.Vm.BlocksSplit, blocks)
		}
		blocks = r.Vm.BlocksSplit
		if r.Vm.Stage == until {
			return nil
		}
	}
}

// everyMethod: a VM's migration, by every method that there is.
func everyMethod(c *client, arguments []string) error {
	pid, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	steps := []struct {
		method     string
		parameters object
	}{
		{manager + ".GetHost", nil},
		{manager + ".ListVms", nil},
		{manager + ".Register", object{"pid": pid, "name": "guest"}},
		{manager + ".GetVm", object{"vm": "guest"}},
		{manager + ".SetMigrationState", object{"vm": "guest", "migration": "scheduled",
			"deadlineUSec": int64(1<<63 - 1), "tlbiRate": int64(1<<63 - 1)}},
		{manager + ".ListVms", nil},
		{manager + ".Watch", nil},
		{manager + ".GetVm", object{"vm": "guest"}},
		{metrics + ".GetMetrics", nil},
		{manager + ".Reload", nil},
		{manager + ".Unregister", object{"vm": "guest"}},
		{manager + ".GetHistory", object{"limit": 10}},
		{service + ".GetInfo", nil},
		{service + ".GetInterfaceDescription", object{"interface": manager}},
	}
	for _, step := range steps {
		if step.method != manager+".Watch" {
			if _, err := c.call(step.method, step.parameters); err != nil {
				return err
			}
			continue
		}
		// A stream keeps its connection: this one is for it alone.
		watcher, err := connect(arguments[0])
		if err != nil {
			return err
		}
		if err := follow(watcher, "guest", "split"); err != nil {
			return err
		}
		watcher.Close()
		c.called[step.method] = true
	}
	for name, in := range c.interfaces {
		for _, method := range in.Methods {
			if !c.called[name+"."+method.Name] {
				return fmt.Errorf("%s.%s has not been called", name, method.Name)
			}
		}
	}
	return nil
}

// everyError: refusals have the parameters that the interface gives them.
func everyError(c *client, arguments []string) error {
	pid, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	gone, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	if _, err := c.call(manager+".Register", object{"pid": pid, "name": "guest"}); err != nil {
		return err
	}
	for _, refused := range []struct {
		method     string
		parameters object
		name       string
	}{
		{manager + ".GetVm", object{"vm": "nobody"}, manager + ".NoSuchVm"},
		{manager + ".Register", object{"pid": gone}, manager + ".NoSuchProcess"},
		{manager + ".Register", object{"pid": pid}, manager + ".VmExists"},
		{manager + ".SetMigrationState", object{"vm": "guest", "migration": "failed"},
			manager + ".InvalidTransition"},
		{manager + ".Reload", nil, manager + ".InvalidConfiguration"},
		{manager + ".Watch", nil, service + ".ExpectedMore"},
		{manager + ".GetVm", object{"vm": 5}, service + ".InvalidParameter"},
		{manager + ".GetVm", nil, service + ".InvalidParameter"},
		{manager + ".Nonsense", nil, service + ".MethodNotFound"},
		{"org.example.Other.Do", nil, service + ".InterfaceNotFound"},
	} {
		if err := c.checkError(refused.method, refused.parameters, refused.name); err != nil {
			return err
		}
	}
	var wrong *varlink.InvalidParameter
	err = c.Call(c.ctx, manager+".GetVm", object{"vm": 5}, nil)
	if !errors.As(err, &wrong) || wrong.Parameter != "vm" {
		return fmt.Errorf("the wrong parameter is not named: %v", err)
	}
	return nil
}

// pipelined: calls are answered in the order in which they were sent, oneway ones not at all.
func pipelined(c *client, arguments []string) error {
	type receiver func(context.Context, interface{}) (uint64, error)
	var receivers []receiver
	const n = 100
	for i := 0; i < n; i++ {
		if _, err := c.Send(c.ctx, manager+".GetHost", nil, varlink.Oneway); err != nil {
			return err
		}
		receive, err := c.Send(c.ctx, manager+".GetVm", object{"vm": strconv.Itoa(i)}, 0)
		if err != nil {
			return err
		}
		receivers = append(receivers, receive)
	}
	for i, receive := range receivers {
		var e *varlink.Error
		if _, err := receive(c.ctx, nil); !errors.As(err, &e) {
			return fmt.Errorf("call %d: %v", i, err)
		}
		var parameters struct{ Vm string }
		if err := json.Unmarshal(*e.Parameters.(*json.RawMessage), &parameters); err != nil {
			return err
		}
		if parameters.Vm != strconv.Itoa(i) {
			return fmt.Errorf("call %d: the answer is about %q", i, parameters.Vm)
		}
	}
	return nil
}

func run(path string, test string, arguments []string) error {
	c, err := connect(path)
	if err != nil {
		return err
	}
	defer c.Close()
	switch test {
	case "introspection":
		return introspection(c, arguments)
	case "methods":
		return everyMethod(c, append([]string{path}, arguments...))
	case "errors":
		return everyError(c, append([]string{path}, arguments...))
	case "pipelined":
		return pipelined(c, arguments)
	}
	return fmt.Errorf("no test %s", test)
}

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
