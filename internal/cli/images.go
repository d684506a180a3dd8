package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"upkeep/client"
)

// Images are named CHANNEL:VERSION, with @ARCH where several architectures have
// that version, or by their id; CHANNEL alone is its active image.

func (a *app) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "image COMMAND", Aliases: []string{"images"}, Short: "Release, activate, deprecate or withdraw what servers are made from",
		Example: `  upkeep image release debian-12:2026.11 --checksum sha256:9f86d0…
  upkeep image activate debian-12:2026.11
  upkeep image withdraw debian-12:2026.10 --reason "kernel panics on boot"`,
		Args: cobra.ArbitraryArgs, RunE: a.which("image", "release, activate, deprecate, withdraw and channel"),
	}
	cmd.AddCommand(a.releaseImage(), a.activateImage(), a.deprecateImage(), a.withdrawImage(), a.setChannel())
	return cmd
}

func (a *app) releaseImage() *cobra.Command {
	var in client.ImageInput
	var activate bool
	cmd := &cobra.Command{
		Use: "release CHANNEL:VERSION[@ARCH]", Short: "Make a new image known; its channel is created with its first one",
		Long: `Makes a new image known. Servers can be made from it by its version; new servers
of its channel are once it is activated. The image belongs to --project, to the
token's own project, or, for tokens of every project, to the platform.`,
		Example: `  upkeep image release debian-12:2026.11 --source https://images.example.net/d12.qcow2 --activate`,
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rest, arch, _ := strings.Cut(args[0], "@")
			channel, version, ok := strings.Cut(rest, ":")
			if !ok {
				return usagef("%q is no new image: say CHANNEL:VERSION, such as debian-12:2026.11", args[0])
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			in.Channel, in.Version, in.Arch, in.Project = channel, version, arch, s.project
			i, err := s.release(cmd.Context(), in)
			if err == nil && activate {
				i, err = s.activate(cmd.Context(), i)
			}
			return a.imageMoved(i, err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Name, "name", "", "what people call it")
	f.StringVar(&in.Distro, "distro", "", "the distribution, such as debian")
	f.StringVar(&in.OSVersion, "os-version", "", "the distribution's version, such as 12")
	f.StringVar(&in.DiskFormat, "disk-format", "", "raw, qcow2, vmdk or another; qcow2 if not said")
	f.Int64Var(&in.MinDiskGB, "min-disk", 0, "the smallest disk that it fits on, in GB")
	f.Int64Var(&in.MinRAMMB, "min-ram", 0, "the least memory that it needs, in MB")
	f.StringVar(&in.Checksum, "checksum", "", "sha256: or sha512: and hex digits")
	f.StringVar(&in.Source, "source", "", "the URL where it can be fetched")
	f.StringVar(&in.Notes, "notes", "", "what is new in it")
	f.BoolVar(&activate, "activate", false, "activate it at once")
	return cmd
}

func (s *session) release(ctx context.Context, in client.ImageInput) (*client.Image, error) {
	return write(ctx, func(ctx context.Context, key string) (*client.Image, error) {
		return s.ReleaseImage(ctx, in, &client.ReleaseImageParams{IdempotencyKey: key})
	})
}

func (s *session) activate(ctx context.Context, i *client.Image) (*client.Image, error) {
	return write(ctx, func(ctx context.Context, key string) (*client.Image, error) {
		return s.ActivateImage(ctx, i.ID, &client.ActivateImageParams{Project: s.project, IdempotencyKey: key})
	})
}

func (a *app) activateImage() *cobra.Command {
	return &cobra.Command{
		Use: "activate IMAGE", Short: "Have new servers of its channel made from it; the one that was active is deprecated",
		Args: takes(1, 1), ValidArgsFunction: a.completeImages,
		RunE: a.movingImage(func(ctx context.Context, s *session, ref, key string) (*client.Image, error) {
			return s.ActivateImage(ctx, ref, &client.ActivateImageParams{Project: s.project, IdempotencyKey: key})
		}),
	}
}

func (a *app) deprecateImage() *cobra.Command {
	var in client.DeprecateInput
	cmd := &cobra.Command{
		Use: "deprecate IMAGE --successor IMAGE | --reason TEXT", Short: "Say what to use instead of an image, or why there is nothing",
		Example: `  upkeep image deprecate debian-12:2026.09 --successor debian-12
  upkeep image deprecate debian-11:2026.08 --reason "Debian 11 has reached its end of life"`,
		Args: takes(1, 1), ValidArgsFunction: a.completeImages,
	}
	run := a.movingImage(func(ctx context.Context, s *session, ref, key string) (*client.Image, error) {
		return s.DeprecateImage(ctx, ref, in, &client.DeprecateImageParams{Project: s.project, IdempotencyKey: key})
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if in == (client.DeprecateInput{}) {
			a.ran = false
			return usagef("--successor or --reason must be set")
		}
		return run(cmd, args)
	}
	cmd.Flags().StringVar(&in.Successor, "successor", "", "the active image of its channel; the channel's name is enough")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why; needed if there is no successor")
	return cmd
}

func (a *app) withdrawImage() *cobra.Command {
	var in client.WithdrawInput
	cmd := &cobra.Command{
		Use: "withdraw IMAGE --reason TEXT", Short: "Say that nothing may be made from an image any more; there is no way back",
		Args: takes(1, 1), ValidArgsFunction: a.completeImages,
		RunE: a.movingImage(func(ctx context.Context, s *session, ref, key string) (*client.Image, error) {
			return s.WithdrawImage(ctx, ref, in, &client.WithdrawImageParams{Project: s.project, IdempotencyKey: key})
		}),
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why; people whose servers run it read it (required)")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func (a *app) setChannel() *cobra.Command {
	var in client.ChannelInput
	var cadence string
	cmd := &cobra.Command{
		Use: "channel NAME", Short: "Say what a channel is, and how often it gets a new image",
		Example: `  upkeep image channel debian-12 --cadence quarterly --description "Debian 12 with our monitoring"`,
		Args:    takes(1, 1),
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			in.Project, in.Cadence = s.project, client.Cadence(cadence)
			ch, err := write(ctx, func(ctx context.Context, key string) (*client.Channel, error) {
				return s.PutChannel(ctx, args[0], in, &client.PutChannelParams{IdempotencyKey: key})
			})
			if err != nil {
				return err
			}
			return a.show(ch, func(w io.Writer) { fmt.Fprintf(w, "channel %s: %s\n", ch.Name, ch.Cadence) })
		}),
	}
	cmd.Flags().StringVar(&cadence, "cadence", "", "monthly, quarterly or as-needed; monthly if not said")
	cmd.Flags().StringVar(&in.Description, "description", "", "what it is")
	return cmd
}

// movingImage is a command that moves one image and says so.
func (a *app) movingImage(request func(ctx context.Context, s *session, ref, key string) (*client.Image, error)) func(*cobra.Command, []string) error {
	return a.with(func(ctx context.Context, s *session, args []string) error {
		return a.imageMoved(write(ctx, func(ctx context.Context, key string) (*client.Image, error) { return request(ctx, s, args[0], key) }))
	})
}

// imageMoved says what an image is now.
func (a *app) imageMoved(i *client.Image, err error) error {
	if err != nil {
		return err
	}
	return a.show(i, func(w io.Writer) {
		text := fmt.Sprintf("image %s is %s", i.Ref, i.State)
		if i.Successor != nil && i.State == client.ImageStateDeprecated {
			text += ": use " + i.Successor.Version
		}
		fmt.Fprintln(w, clean(text))
		if i.Outdated && i.Servers > 0 {
			a.note(`%s still run it: "upkeep get servers --image %s"`, count(i.Servers, "server"), i.Ref)
		}
	})
}

func (a *app) getImages() *cobra.Command {
	var state, arch string
	cmd := &cobra.Command{
		Use: "images [CHANNEL | IMAGE]", Aliases: []string{"image"}, Short: "Images, the newest first, with how many servers run them",
		Example: `  upkeep get images debian-12
  upkeep get images --state active`,
		Args: takes(0, 1), ValidArgsFunction: a.completeImages,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			channel := ""
			if len(args) == 1 {
				channel = args[0]
			}
			if strings.ContainsAny(channel, ":@") || idPattern.MatchString(channel) {
				i, err := s.findImage(ctx, channel)
				if err != nil {
					return err
				}
				return a.show(i, func(w io.Writer) { a.imageTable([]client.Image{*i}).print(w, "") })
			}
			all, err := s.images(ctx, channel, state, arch)
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, `There are no such images. "upkeep image release CHANNEL:VERSION" makes one known.`, a.imageTable)
		}),
	}
	cmd.Flags().StringVar(&state, "state", "", "only those that are released, active, deprecated or withdrawn")
	cmd.Flags().StringVar(&arch, "arch", "", "only those for this architecture")
	return cmd
}

func (a *app) imageTable(all []client.Image) *table {
	t := newTable("IMAGE", "PROJECT", "STATE", "RELEASED", "SERVERS", "INSTEAD", "REASON")
	for _, i := range all {
		instead := ""
		if i.Instead != nil {
			instead = i.Instead.Version
		}
		t.add(i.Ref, i.Project, a.imageState(i.State), ago(i.Released, a.now()), fmt.Sprint(i.Servers), instead, clean(i.Reason))
	}
	return t.dropEmpty()
}

// imageColours tell the states of images apart; the word is always there.
var imageColours = map[client.ImageState]string{
	client.ImageStateActive: green, client.ImageStateDeprecated: yellow, client.ImageStateWithdrawn: red,
}

func (a *app) imageState(s client.ImageState) string {
	return a.paint(clean(string(s)), imageColours[s])
}

func (a *app) getChannels() *cobra.Command {
	return &cobra.Command{
		Use: "channels", Aliases: []string{"channel"}, Short: "Channels of images: what is active, and how many servers are behind", Args: takes(0, 0),
		RunE: a.with(func(ctx context.Context, s *session, _ []string) error {
			all, err := ask(ctx, func(ctx context.Context) (*client.ChannelList, error) {
				return s.ListChannels(ctx, &client.ListChannelsParams{Project: s.project})
			})
			if err != nil {
				return err
			}
			return listed(a, all, all.Items, "There are no channels: the first image of one makes it.", a.channelTable)
		}),
	}
}

func (a *app) channelTable(all []client.Channel) *table {
	t := newTable("CHANNEL", "PROJECT", "ARCH", "ACTIVE", "SERVERS", "ON OLD ONES", "CADENCE", "NEXT RELEASE")
	for _, ch := range all {
		if len(ch.Lines) == 0 {
			t.add(ch.Name, ch.Project, "", "", "", "", string(ch.Cadence), "")
		}
		for _, l := range ch.Lines {
			active, due := a.paint("none", red), ""
			if l.Active != nil {
				active = l.Active.Version
			}
			if !l.Due.IsZero() {
				due = "before " + l.Due.UTC().Format("2006-01-02")
			}
			if l.Overdue {
				due = a.paint("overdue: was due "+due, yellow)
			}
			t.add(ch.Name, ch.Project, l.Arch, active, fmt.Sprint(l.Servers), fmt.Sprint(l.OldServers), string(ch.Cadence), due)
		}
	}
	return t.dropEmpty()
}

func (a *app) describeImage() *cobra.Command {
	return &cobra.Command{
		Use: "image IMAGE", Aliases: []string{"images"}, Short: "An image: what it is, and what became of it",
		Args: takes(1, 1), ValidArgsFunction: a.completeImages,
		RunE: a.with(func(ctx context.Context, s *session, args []string) error {
			i, err := s.findImage(ctx, args[0])
			if err != nil {
				return err
			}
			return a.show(i, func(w io.Writer) { a.tellImage(w, i) })
		}),
	}
}

func (a *app) tellImage(w io.Writer, i *client.Image) {
	positive := func(n int64, unit string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d %s", n, unit)
	}
	replaced, instead := "", ""
	if i.Successor != nil {
		replaced = i.Successor.Ref
	}
	if i.Instead != nil {
		instead = i.Instead.Ref
	}
	pairs(w, "Image", i.Ref, "Name", clean(i.Name), "ID", i.ID, "Project", first(i.Project, "all"), "State", a.imageState(i.State),
		"Replaced by", replaced, "Use instead", instead, "Reason", clean(i.Reason), "Servers", fmt.Sprint(i.Servers),
		"System", clean(strings.TrimSpace(i.Distro+" "+i.OSVersion)), "Disk format", i.DiskFormat,
		"Needs disk", positive(i.MinDiskGB, "GB"), "Needs memory", positive(i.MinRAMMB, "MB"), "Checksum", i.Checksum, "Source", clean(i.Source),
		"Released", moment(i.Released, a.local), "Activated", moment(i.Activated, a.local),
		"Deprecated", moment(i.Deprecated, a.local), "Withdrawn", moment(i.Withdrawn, a.local), "Notes", clean(i.Notes))
}

// imageWords is what a server was made from, and what it should be.
func (a *app) imageWords(i *client.ServerImage) string {
	if i == nil {
		return ""
	}
	text := i.Ref
	if i.Outdated {
		text += " (" + string(i.State) + ")"
		if i.Reason != "" {
			text += ": " + clean(i.Reason)
		}
		if i.Instead != nil {
			text += "; use " + i.Instead.Version
		}
		text = a.paint(text, yellow)
	}
	return text
}

func (s *session) findImage(ctx context.Context, ref string) (*client.Image, error) {
	return ask(ctx, func(ctx context.Context) (*client.Image, error) {
		return s.GetImage(ctx, ref, &client.GetImageParams{Project: s.project})
	})
}

// images lists all, the newest first.
func (s *session) images(ctx context.Context, channel, state, arch string) (*client.ImageList, error) {
	params := &client.ListImagesParams{Project: s.project, Channel: channel, State: client.ListImagesParamsState(state), Arch: arch, Limit: pageSize}
	items, err := every(ctx, func(ctx context.Context, next string) ([]client.Image, string, error) {
		params.Before = next
		page, err := s.ListImages(ctx, params)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
	return &client.ImageList{Items: items}, err
}

// completeImages offers the names of images to the shell, as completeServers does.
func (a *app) completeImages(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	all, err := s.images(ctx, "", "", "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, i := range all.Items {
		names = append(names, i.Ref)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
