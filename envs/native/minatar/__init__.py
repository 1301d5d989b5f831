"""The five games of MinAtar (Young and Tian 2019), by the rules of the package `minatar` 1.0.15."""
