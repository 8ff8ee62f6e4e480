//! How plugins are started, and started again.

use super::Inner;
use crate::id::PluginId;
use crate::spec::{Backoff, Chain, ChainError, LoadError, PluginSpec};
use crate::vms::Vms;

impl Inner {
    /// Starts the plugins of a chain, to which streams come.
    pub(crate) fn load(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        let chain = self.load_services(specs)?;
        chain.plugins().for_each(|plugin| self.vms.serve(plugin));
        Ok(chain)
    }

    /// The same, with plugins that are there as they are.
    pub(crate) fn load_beside(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        let chain = self.load_services_beside(specs)?;
        chain.plugins().for_each(|plugin| self.vms.serve(plugin));
        Ok(chain)
    }

    /// Starts plugins to which no stream comes.
    pub(crate) fn load_services(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.load_by(specs, Vms::load)
    }

    /// The same, with plugins that are there as they are.
    pub(crate) fn load_services_beside(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.load_by(specs, |vms, spec| match vms.find(spec) {
            Some(plugin) => Ok(plugin),
            None => vms.load(spec),
        })
    }

    fn load_by(
        &mut self,
        specs: &[PluginSpec],
        load: impl Fn(&mut Vms, &PluginSpec) -> Result<PluginId, LoadError>,
    ) -> Result<Chain, ChainError> {
        let mut plugins = Vec::with_capacity(specs.len());
        let mut load = |(index, spec)| {
            plugins.push(load(&mut self.vms, spec).map_err(|source| ChainError { index, source })?);
            Ok(())
        };
        let loaded: Result<(), ChainError> = specs.iter().enumerate().try_for_each(&mut load);
        self.run(None);
        self.vms.drained().into_iter().for_each(|vm| self.release(vm));
        let chain = Chain::new(plugins);
        self.chains.add(chain.clone());
        match loaded {
            Ok(()) => Ok(chain),
            Err(error) => {
                // Those before it would run for nobody.
                self.unload(&chain);
                Err(error)
            }
        }
    }

    /// Sets how long the VMs of a chain's plugins rest, the first plugin of a VM last: its word counts, as at a start.
    pub(crate) fn set_backoff(&mut self, chain: &Chain, backoffs: &[Backoff]) {
        let plugins: Vec<_> = chain.plugins().zip(backoffs).collect();
        plugins.into_iter().rev().for_each(|(plugin, backoff)| self.vms.set_backoff(plugin, *backoff));
    }

    /// Starts the plugins of a chain in VMs of their own, which end at once.
    pub(crate) fn rehearse(&self, specs: &[PluginSpec]) -> Result<(), ChainError> {
        let mut apart = Self::new(self.vms.apart());
        apart.load(specs)?;
        apart.shut_down();
        Ok(())
    }

    /// Starts VMs again that have failed and rested.
    pub(crate) fn revive(&mut self, chain: &Chain) {
        for plugin in chain.plugins() {
            if let Some(old) = self.vms.revive(plugin) {
                self.run(None);
                self.release(old);
            }
        }
    }

    /// Moves plugins whose modules have been compiled since to VMs of these; returns how many VMs have moved.
    pub(crate) fn tier_up(&mut self) -> usize {
        let mut moved = 0;
        for old in self.vms.awaiting_tier_up() {
            if self.vms.tier_up(old) {
                self.run(None);
                self.release(old);
                moved += 1;
            }
        }
        moved
    }
}
